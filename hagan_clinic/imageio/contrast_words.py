"""How sites, vendors, languages and converters say that agent was given, or was not: a table.

Words are in lower case and without accents; one that ends with `*` stands for all that begin so.
The rule that puts them together is in `contrast.py`.
"""

from enum import Enum


class Meaning(Enum):
    """What a word of a name says of contrast agent."""

    AGENT = "agent"
    """An agent, its class, or enhancement: decides by itself."""
    SHORT = "short"
    """The same, but so short that with a number it is a site's or a person's code: GD_07."""
    LETTERS = "letters"
    """An agent only beside T1, +, "with" or "after": T1 C, +C, po KL."""
    SIGNED = "signed"
    """An agent only beside +, "with" or "after": IV+, +K."""
    AFTER = "after"
    """After: of an agent, or of an operation or a place."""
    WITH = "with"
    WITHOUT = "without"
    """Takes back the agent that follows: without, or before."""
    NATIVE = "native"
    """Says by itself that no agent was given."""
    BACK = "back"
    """Takes back the agent that it follows: gadolinium-free, 造影前."""
    EVENT = "event"
    """An operation or a therapy: takes back the "post" that it follows."""
    OTHER = "other"
    """A place, a visit, a device or an illness: a "post" before it is taken for an agent's."""
    QUALITY = "quality"
    """Makes "contrast" the image's, beside it: low contrast, contrast ratio."""
    FILLER = "filler"
    """Between "with" and the agent: iv, injection of."""
    AND = "and"
    BOTH = "both"
    """With and without in one word: the study's, not the scan's."""
    UNIT = "unit"
    """After a number: of a dose, or of the minutes since."""
    LONG = "long"
    """The same, of too long a time for agent to be meant."""
    CERVICAL = "cervical"
    """What the letter C belongs to, where no agent is meant."""
    STEADY = "steady"
    """CE-FAST, CE-FFE: steady states, the enhanced contrast of which is the echo's."""


_TABLE = {
    Meaning.AGENT: """
        gado* gadav* gadolinium gadovist gads gbca dtpa gddtpa gddota gdtpa cplus dotarem*
        magnevist* prohance* multihance* omniscan* clariscan* vueway* elucirem* eovist* primovist*
        ablavar* vasovist* artirem* dotagraf* dotagita* cyclolux* optimark* feraheme* ferumox*
        teslascan* pixxoscan*
        contrast cte contraste* contrasto contrastad* contrastat* contrasted contrastmedi* contr
        ctrst kontr kontrast kontras* postcontr* poscontr* postkontr* poskontr* t1c t1wc t1g t1k
        enhanced enhance enhancing enh enhancement anreicherung
        inj injecte* injected injection* injekt* iniezione inyec* injet* bolus dce dsc
        mdc cmdc sdc civ nkm mkm ngd mgd kmgabe varjoaine* tehoste*
        delayed delay dose
        контраст* контр гадолин* гадовист усилен*
        造影 造影剤 造影剂 増強 增强 增強 加强 強化 强化 조영 조영제 조영증강 증강
    """,
    Meaning.SHORT: "gd ce km gad gado",
    Meaning.LETTERS: "c cm mc pc kl iv dota ку",
    Meaning.SIGNED: "k g ev ka ku va ca con cont",
    Meaning.AFTER: """
        post pos nach n after apres ap na efter etter eft po dopo tras depois despues apos jalkeen
        sonrasi dupa nakon poslije posle после 後 后 후
    """,
    Meaning.WITH: """
        with w w/ c/ m/ m mit avec av con com mit med met z ze s cu amb plus ile cum kanssa с со
        あり 有
    """,
    Meaning.WITHOUT: """
        without w/o wo no non not none kein keine ohne o o/ sans ss sin sem senza zonder utan uden
        uten u u/ s/ bez fara sine minus zero ilman nicht без 無 无 非
        pre before prior vor avant prima antes voor przed pred fore for innan ennen inainte prije до
    """,
    Meaning.NATIVE: """
        pre native nativ nativo nativa natives nativer natives natif natywn* nativni nativno natiivi
        plain blanco basal basale vkm okm unenhanced nonenhanced nc smdc noncontrast* nocontrast*
        precontrast* prekontrast* kontrastsiz*
        kontrastfri* kontrastlos* simple нативн*
        平扫 平掃 単純 单纯 非造影 비조영
    """,
    Meaning.BACK: "free fri frei none no off neg negative elott nelkul oncesi 前 전 なし 無し 无",
    Meaning.EVENT: """
        op ops oper* surg* resect* rt radio* chemo* chemother* therap* treat* tx tmz rad rads crt
        biops* embol* transplant* interven* proced* drain* ablation ect tms
    """,
    Meaning.OTHER: """
        proc* process* shunt dbs implant* train* test* stim* ictal stroke mortem partum natal
        trauma* clip* coil* evd stent* laser litt fus gk gammaknife
        fossa fossae horn lobe circ* arch lat lateral cerebr* pituit* commissur* ant anterior
        amygd* hippoc* insul* visit session baseline followup fu month* year* day*
        tbi injur* infarct* bleed* hemorr* haemorr* concuss* seizure* rehab* vaccin* exercise
    """,
    Meaning.QUALITY: """
        low high tissue soft edge image images grey gray white matter gm wm good poor phase multi
        better optimi* improved magnetization susceptibility endogenous novel same similar
        ratio change map noise phantom agnostic invariant augment* normal* equal* stretch* curve
        corrected adjust* resolution detail
    """,
    Meaning.FILLER: """
        iv ev di de du des the of to mezzo medio produit agent agents medium media stoff mittel
        administration ass
    """,
    Meaning.AND: "and und et e y i och og en & or oder",
    Meaning.BOTH: "w/wo wwo wow withandwithout prepost",
    Meaning.UNIT: "ml cc mmol mmolkg min mins minute minutes mn sec",
    Meaning.LONG: "h hr hrs hour hours d day days w wk wks week weeks mo mos month months m y yr",
    Meaning.CERVICAL: "l spine spines wirbel hws hals neck cervical spin rachis ts th",
    Meaning.STEADY: "fast ffe grass",
}

_WORDS: dict[str, set[Meaning]] = {}
_STEMS: dict[str, set[Meaning]] = {}
for _meaning, _words in _TABLE.items():
    for _word in _words.split():
        (_STEMS if _word.endswith("*") else _WORDS).setdefault(_word.removesuffix("*"), set()).add(
            _meaning
        )


def is_a_word(word: str) -> bool:
    """Whether the table has a word as it stands."""
    return word in _WORDS or (len(word) > 3 and word[-1].isdigit() and word[:-1] in _WORDS)


def meanings(word: str) -> frozenset[Meaning]:
    """What a word can mean; an empty set if it is none of the table's."""
    for stem in (word, word[:-1]) if word[-1:].isdigit() and len(word) > 3 else (word,):
        if stem in _WORDS:  # "post2" is the second after "post"
            return frozenset(_WORDS[stem])
    for size in range(len(word), 2, -1):
        if word[:size] in _STEMS:
            return frozenset(_STEMS[word[:size]])
    return frozenset()
