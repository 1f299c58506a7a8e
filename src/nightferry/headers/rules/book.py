"""The book of rules: every rule by its number, and how a file is judged by them."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from nightferry.headers.canonical import Finding
from nightferry.headers.rules import identity, sky, structure, times
from nightferry.headers.rules.subject import Subject

Rule = Callable[[Subject], Iterable[Finding]]

#: V22 applies where the source is known, V24 and V25 to cubes. V60 and V61 are found while a header is made, V62 and
#: what fitsverify has to say by `nightferry.headers.rules.fitsverify`.
RULES: Mapping[str, Rule] = {
    "V01": structure.v01_structure, "V02": structure.v02_whole, "V03": structure.v03_required,
    "V04": structure.v04_types, "V05": times.v05_dates, "V06": times.v06_agreement, "V07": times.v07_sidereal,
    "V08": sky.v08_pointing, "V09": sky.v09_frame, "V10": sky.v10_one_matrix, "V11": sky.v11_axes,
    "V12": sky.v12_scale, "V13": sky.v13_one_form, "V14": structure.v14_sums, "V15": identity.v15_product,
    "V16": identity.v16_program, "V17": identity.v17_telescope, "V18": identity.v18_name,
    "V19": identity.v19_collision, "V20": structure.v20_cards, "V21": times.v21_order, "V22": structure.v22_pixels,
    "V23": structure.v23_blank, "V24": structure.v24_cube, "V25": structure.v25_planes,
    "V26": structure.v26_long_text, "V40": identity.v40_object, "V41": times.v41_exposure,
    "V42": sky.v42_separation, "V43": times.v43_whole_seconds, "V44": sky.v44_longitude, "V45": sky.v45_solved,
    "V46": sky.v46_deprecated, "V47": identity.v47_groups, "V48": times.v48_earth_rotation,
    "V49": structure.v49_picture, "V50": structure.v50_columns, "V51": identity.v51_raw, "V52": identity.v52_colour,
}  # fmt: skip


def judge(subject: Subject) -> Iterator[Finding]:
    """Judge a file by every rule of its profile, in their order."""
    for number, rule in RULES.items():
        if number not in subject.profile.skip:
            yield from rule(subject)
