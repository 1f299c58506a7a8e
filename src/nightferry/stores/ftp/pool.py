"""The sessions of one FTP store; see `nightferry.stores.sessions`."""

from typing import TypeAlias

from nightferry.stores import sessions
from nightferry.stores.ftp.address import FtpAddress
from nightferry.stores.ftp.session import Habits, Session, habits_for, open_session

Pool: TypeAlias = sessions.Pool[Session, Habits]
Line: TypeAlias = sessions.Line[Session, Habits]


def pool_for(address: FtpAddress) -> Pool:
    """Make the pool of one server, of which nothing is known yet; raises `Misconfigured` for unusable TLS settings.

    Every session is asked whether it lives before it is used again: that costs nothing before a second of rest.
    """
    habits = habits_for(address)
    return sessions.Pool(lambda: open_session(habits), address.label, address.connections, habits, rest=0.0)
