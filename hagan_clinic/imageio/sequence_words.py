"""What scanners, sites and converters call sequences: a table of words and their meaning."""

from enum import Enum


class SequenceKind(Enum):
    """What a word of a name says of the sequence."""

    T1 = "t1"
    TECHNIQUE = "technique"
    """A spoiled gradient echo: a T1, where no word of doubt stands beside it."""
    FLAIR = "flair"
    T2 = "t2"
    PD = "pd"
    OTHER = "other"
    """A contrast, a map or an angiogram that is none of these, whatever else the name says."""
    LOCALIZER = "localizer"
    DOUBT = "doubt"
    """Of calibrations, field maps and angiograms, but also part of names of others."""
    PLAIN = "plain"
    """Planes, techniques, options: true of any."""


_TABLE = {
    SequenceKind.T1: """
        t1 t1w t1wi t1n t1c t1wc t1g t1k t1weighted wt1 dt1 t1fs t1se t1tse t1fse t1tfe t1ffe
        t1flair t1mprage t1mpr t1spgr t1space t1cube t1vista t1gre t1ir t13d
        mprage mprag rage memprage meprage mempr mocomemprage mpragepromo mdeft adni
        bravo irspgr irfspgr
    """,
    SequenceKind.TECHNIQUE: """
        spgr spgr3d fspgr efspgr lava lavaflex thrive ethrive vibe starvibe tigre geir rssg quick3d
        tfe tfe3d tfl tfl3d tfl3d1 turboflash flash flash2d flash3d fl2d fl2d1 fl3d fl3d1
    """,
    SequenceKind.FLAIR: "flair t2flair tirm darkfluid fluid",
    SequenceKind.T2: """
        t2 t2w t2wi t2tse t2fse t2se t2space t2cube st2w ciss fiesta haste ssfse trufi trufisp
        truefisp bffe btfe balanced psif dess medic
    """,
    SequenceKind.PD: "pd pdw pdt2 pdwi dp proton protondensity",
    SequenceKind.OTHER: """
        dwi dti diff diffusion adc trace tracew dki noddi ivim dsi hardi
        swi swip sswi sswip swan swie susceptibility venobold minip t2star t2gre qsm hemo
        fieldmap fieldmapping fmri bold asl pcasl pasl casl perf perfusion dsc dce m0 twist tricks
        tof stof mra mrv cemra angio angiography angiographie angiografia 3di s3di inflow pca venc
        s3dpca inhance trance willis circleofwillis mip mips
        mrs svs csi spectro spectroscopy press steam mrsi
        stir b0 b1 b0map b1map dream afi b500 b1000 b2000 vwi vfa despot despot1 molli
        map maps mapping mapit t1map t1maps t1mapping t1rho t2map t2mapping magic synthetic mtr mte
        elastography mre subtraction subtracted
    """,
    SequenceKind.LOCALIZER: """
        localizer localizers localiser localisers localisation localizador localizzatore lokalizer
        lokalisator loc locs survey surveys scout scouts plan planscan 3plane threeplane 3pl
        smartbrain posdisp aascout scanogram topogram reperage planner
    """,
    SequenceKind.DOUBT: """
        ref refs reference refscan senseref senserefscan cal calib calibration asset arc prescan
        coil sensitivity shim shimming field cow slab slabs multichunk mc
        phase phasecontrast pc flow venogram venography arterial venous nm neuromelanin mt mtc
        sub fgre efgre cine dyn dynamic test phantom qa noise tune
    """,
    SequenceKind.PLAIN: """
        ax axi axial sag sagittal cor coronal tra tran trans transversal transverse obl oblique
        3d 2d iso isotropic hires fs fatsat nonfs fat sat dixon se tse fse gre ffe ir psir
        space cube vista mpr nav w wi sense grappa wip brain head kmax
        mp2rage uni unit1 uniden inv inv1 inv2 moco rms
    """,
}

SEQUENCE_WORDS = {word: kind for kind, words in _TABLE.items() for word in words.split()}
