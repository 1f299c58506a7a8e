import pytest

from nightferry.core.objects import object_name


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("m31", "M 31"),
        ("M31", "M 31"),
        ("M_31", "M 31"),
        ("m-031", "M 31"),
        ("Messier 42", "M 42"),
        ("ngc7023", "NGC 7023"),
        ("NGC7000", "NGC 7000"),
        ("ngc_7000_panel_2", "NGC 7000 panel 2"),
        ("IC1805", "IC 1805"),
        ("sh2-155", "Sh2-155"),
        ("SH2_101", "Sh2-101"),
        ("ldn1251", "LDN 1251"),
        ("vdB141", "vdB 141"),
        ("c20", "C 20"),
        ("C2025R3", "C/2025 R3"),
        ("c-2025-r3", "C/2025 R3"),
        ("C/2025 R3", "C/2025 R3"),
        ("C_2023_A3_Tsuchinshan", "C/2023 A3 Tsuchinshan"),
        ("12P", "12P"),
        ("12p_Pons-Brooks", "12P/Pons-Brooks"),
        ("Horsehead_Nebula", "Horsehead Nebula"),
        ("My_plan", "My plan"),
        ("Sp2306-0502", "Sp2306-0502"),
        ("2MASS J0523", "2MASS J0523"),
        ("", ""),
        ("__", ""),
    ],
)
def test_names_are_written_as_astronomers_write_them(raw: str, name: str) -> None:
    assert object_name(raw) == name


@pytest.mark.parametrize("raw", ["m31", "C2025R3", "sh2-155", "12p_Pons-Brooks", "Horsehead_Nebula"])
def test_a_written_name_stays_as_it_is(raw: str) -> None:
    assert object_name(object_name(raw)) == object_name(raw)
