"""Naming: what a frame is called in an archive, from its path, its night and the archive's template."""

from nightferry.core.frame import Role
from nightferry.core.layout import Layout
from nightferry.core.names import archive_name
from nightferry.core.night import Night
from nightferry.core.store import StorePath


def frame_name(template: str, layout: Layout, path: StorePath, night: Night, role: Role) -> StorePath:
    """Name a frame by the template; nothing but its path and the night that it was given go into it."""
    fields = dict(layout.place(path, None, 0).fields)
    # where no path tells them, date and night are those that the sighting was given
    evening = night.date.isoformat()
    fields |= {"night": evening, "telescope": night.telescope, "role": str(role)}
    if "time" not in fields and not layout.dates(path):
        fields["date"] = evening
    return archive_name(template, fields)
