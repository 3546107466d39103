"""A PostgreSQL of one's own in a temporary directory, reached through a socket there and gone afterwards."""

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

_USER = "mlbench"


def absent():
    """Why there can be no PostgreSQL here; empty where there can."""
    if _binary("initdb") is None:
        return "PostgreSQL is not installed (Debian: apt install postgresql)"
    if os.geteuid() == 0 and _account() is None:
        return "PostgreSQL does not run as root, and the user 'postgres' is not there"
    return ""


@contextmanager
def cluster():
    """URI of an empty database; the server is ended on the way out."""
    account = _account() if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    as_account = {} if account is None else {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def run(program, *arguments):
        subprocess.run(
            [_binary(program), *arguments], check=True, capture_output=True, text=True, cwd=folder, **as_account
        )

    with tempfile.TemporaryDirectory(prefix="mlbench-pg-", dir="/tmp") as name:  # short: a socket's path has a limit
        folder = Path(name)
        if account is not None:
            os.chown(folder, account.pw_uid, account.pw_gid)
        data = str(folder / "data")
        run("initdb", "-D", data, "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        settings = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        run("pg_ctl", "-D", data, "-o", settings, "-l", str(folder / "log"), "-w", "start")
        try:
            yield f"postgresql+psycopg2://{_USER}@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")


def _binary(name):
    """The newest installed one: Debian keeps these programs off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    return str(found[-1]) if found else shutil.which(name)


def _account():
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return None
