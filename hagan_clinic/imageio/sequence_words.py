"""What scanners, sites and converters call sequences: a table of words and their meaning."""

from enum import Enum


class Sequence(Enum):
    """What a word of a name says of the sequence."""

    T1 = "t1"
    FLAIR = "flair"
    T2 = "t2"
    PD = "pd"
    OTHER = "other"
    """A contrast, a map or an angiogram that is none of these, whatever else the name says."""
    DOUBT = "doubt"
    """Of calibrations, field maps and angiograms, but also part of names of others."""
    PLAIN = "plain"
    """Planes, techniques, options: true of any."""


_TABLE = {
    Sequence.T1: """
        t1 t1w t1wi t1n t1c t1wc t1g t1k t1weighted wt1 t1fs t1se t1tse t1fse t1tfe t1ffe t1flair
        t1mprage t1mpr mprage mprag memprage meprage mocomemprage mpragepromo tflmgh mdeft
        bravo spgr fspgr irspgr irfspgr efspgr spoiled lava
        tfe tfe3d tfl tfl3d turboflash flash flash2d flash3d fl2d fl3d vibe starvibe
        thrive ethrive tigre geir rssg
    """,
    Sequence.FLAIR: "flair t2flair tirm darkfluid",
    Sequence.T2: """
        t2 t2w t2wi t2tse t2fse t2se ciss fiesta haste ssfse trufi trufisp truefisp bffe btfe
        balanced psif dess medic
    """,
    Sequence.PD: "pd pdw pdt2 pdwi dp protondensity",
    Sequence.OTHER: """
        dwi dti diff diffusion adc trace tracew dki noddi ivim dsi hardi
        swi swip swan swie susceptibility venobold minip t2star t2* t2gre qsm
        fieldmap fieldmapping fmri bold asl pcasl pasl casl perf perfusion dsc dce m0
        tof mra mrv cemra angio angiography angiographie angiografia 3di s3di inflow pca venc
        inhance trance willis circleofwillis twist tricks mip mips
        mrs svs csi spectro spectroscopy press steam mrsi
        stir mp2rage b0 b1 b0map b1map dream afi b1000 b500 b2000 vwi vfa despot despot1 molli
        t1map t1maps t1mapping t1rho t2map t2mapping magic synthetic mtr mte elastography mre
    """,
    Sequence.DOUBT: """
        ref refs reference refscan senseref senserefscan cal calib calibration asset arc prescan
        coil sensitivity shim shimming field map maps mapping gre_field cow slab slabs multichunk mc
        phase phasecontrast pc flow venogram venography arterial venous nm neuromelanin
        subtraction sub subtracted fgre efgre cine dyn dynamic test phantom qa noise tune
    """,
    Sequence.PLAIN: """
        ax axi axial sag sagittal cor coronal tra tran trans transversal transverse obl oblique
        3d 2d iso isotropic hires fs fatsat nonfs fat sat dixon se tse fse gre ffe ir psir
        space cube vista mpr nav w wi sense grappa wip brain head kmax
    """,
}

SEQUENCE_WORDS = {word: kind for kind, words in _TABLE.items() for word in words.split()}
