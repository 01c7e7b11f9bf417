"""Settings: which environment is meant, what its files say, and every problem in one message."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from operator import attrgetter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from helpers import envfiles
from helpers.errors import ConfigError
from helpers.settings import KEYS, Keep, Settings, load

URL = "postgresql://app:hush@db1/shop"
ROOT = Path(__file__).parent.parent


class Place:
    """A project's root and a backup host's directory, both empty at first."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "project"
        self.host_dir = directory / "etc"
        for path in (self.root, self.host_dir):
            path.mkdir()

    def write(self, name: str, *lines: str, mode: int = 0o600) -> Path:
        path = self.root / name
        path.write_text("\n".join(lines) + "\n")
        path.chmod(mode)
        return path

    def host(self, name: str, *lines: str, mode: int = 0o640) -> Path:
        return self.write(str(self.host_dir / name), *lines, mode=mode)

    def load(self, env: str | None = None, **environ: str) -> Settings:
        return load(env, root=self.root, environ=environ, host_dir=self.host_dir)

    def problems(self, env: str | None = None, **environ: str) -> str:
        with pytest.raises(ConfigError) as caught:
            self.load(env, **environ)
        assert caught.value.__cause__ is None
        return caught.value.what


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def open_place() -> Iterator[Place]:
    """A place that an unprivileged user can enter, with the test run as such a user."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Place(Path(directory))


def as_nobody(action: Callable[[], str]) -> str:
    if os.geteuid() != 0:
        return action()
    os.seteuid(65534)
    try:
        return action()
    finally:
        os.seteuid(0)


# Which environment


def test_the_one_env_file_names_the_environment(place: Place) -> None:
    for name, environment in ((".env.local", "dev"), (".env", "prod"), (".env.stage-2", "stage-2")):
        path = place.write(name, f"DATABASE_URL={URL}")
        settings = place.load()
        assert (settings.environment, settings.sources) == (environment, (path,))
        path.unlink()


def test_a_file_of_the_backup_host_names_its_environment(place: Place) -> None:
    path = place.host("prod.env", f"DATABASE_URL={URL}")
    assert (place.load().environment, place.load().sources) == ("prod", (path,))


def test_backup_env_inside_the_one_file_outdoes_its_name(place: Place) -> None:
    path = place.write(".env", "BACKUP_ENV=dev", f"DATABASE_URL={URL}")
    assert place.load().environment == "dev"
    assert place.load("dev").sources == (path,)


def test_dev_and_prod_both_possible_is_an_error_that_names_both(place: Place) -> None:
    local = place.write(".env.local", f"DATABASE_URL={URL}")
    plain = place.write(".env", f"DATABASE_URL={URL}")
    problems = place.problems()
    assert f"{local} is of dev" in problems
    assert f"{plain} is of prod" in problems


def test_two_files_of_one_environment_leave_no_doubt(place: Place) -> None:
    place.write(".env.local", f"DATABASE_URL={URL}")
    place.write(".env.dev", "BACKUP_JOBS=3")
    settings = place.load()
    assert (settings.environment, settings.jobs, len(settings.sources)) == ("dev", 3, 2)


def test_nothing_found_lists_what_was_looked_for(place: Place) -> None:
    problems = place.problems()
    for path in (".env.local", ".env", ".env.<name>"):
        assert f"{place.root}/{path}" in problems
    assert f"{place.host_dir}/<name>.env" in problems


def test_nothing_found_for_a_named_environment_lists_its_files(place: Place) -> None:
    problems = place.problems("prod")
    for path in (place.root / ".env.prod", place.root / ".env", place.host_dir / "prod.env"):
        assert str(path) in problems


def test_templates_and_leftovers_of_editors_describe_nothing(place: Place) -> None:
    for name in (".env.example", ".env.sample", ".env.bak", ".env.swp", ".env.dev.bak"):
        place.write(name, f"DATABASE_URL={URL}")
    assert "no env file to read was found" in place.problems()
    assert "cannot be an environment's name" in place.problems("example")


def test_an_argument_picks_one_of_several(place: Place) -> None:
    place.write(".env.local", f"DATABASE_URL={URL}")
    plain = place.write(".env", f"DATABASE_URL={URL}")
    assert place.load("prod").sources == (plain,)
    assert place.load(BACKUP_ENV="prod").sources == (plain,)


@pytest.mark.parametrize(
    ("env", "process", "inside", "sources"),
    [
        ("dev", "prod", "", ("--env says 'dev'", "the process environment says 'prod'")),
        ("dev", "", "prod", ("--env says 'dev'", "(BACKUP_ENV) says 'prod'")),
        (None, "dev", "prod", ("the process environment says 'dev'", "(BACKUP_ENV) says 'prod'")),
    ],
)
def test_two_sources_that_name_different_environments_are_both_named(
    place: Place, env: str | None, process: str, inside: str, sources: tuple[str, str]
) -> None:
    place.write(".env.local", f"BACKUP_ENV={inside}", f"DATABASE_URL={URL}")
    problems = place.problems(env, BACKUP_ENV=process)
    assert all(source in problems for source in sources)


def test_files_that_disagree_on_the_environment_are_both_named(place: Place) -> None:
    place.write(".env.dev", "BACKUP_ENV=dev", f"DATABASE_URL={URL}")
    place.write(".env.local", "BACKUP_ENV=stage")
    problems = place.problems("dev")
    assert ".env.dev (BACKUP_ENV) says 'dev'" in problems
    assert ".env.local (BACKUP_ENV) says 'stage'" in problems


@pytest.mark.parametrize(
    "name", ["a_b", "1st", "-x", "x" * 33, "../up", "pröd", "a b", "a\0", "x\n"]
)
def test_a_name_that_a_backup_could_not_bear_is_refused(place: Place, name: str) -> None:
    assert "cannot be an environment's name" in place.problems(name, DATABASE_URL=URL)
    place.write(".env", f"BACKUP_ENV='{name}'")
    assert "cannot be an environment's name" in place.problems(None)


def test_the_longest_name_is_accepted(place: Place) -> None:
    assert place.load("x" * 32, DATABASE_URL=URL).environment == "x" * 32


def test_described_lists_the_environments_that_have_a_file(place: Place) -> None:
    place.write(".env.local")
    place.write(".env", "BACKUP_ENV=stage")
    place.host("prod.env")
    assert envfiles.described(place.root, place.host_dir) == ["dev", "prod", "stage"]


# Reading files


def test_all_files_of_an_environment_are_read(place: Place) -> None:
    place.write(".env.prod", "PGHOST=h")
    place.write(".env", "PGDATABASE=shop")
    place.host("prod.env", "BACKUP_JOBS=7")
    settings = place.load("prod")
    assert settings.connection.parameters == {"host": "h", "dbname": "shop"}
    assert (settings.jobs, len(settings.sources)) == (7, 3)


def test_the_process_environment_overrides_files_key_by_key(place: Place) -> None:
    place.write(".env", f"DATABASE_URL={URL}", "BACKUP_JOBS=2", "KEEP_LAST=3")
    settings = place.load(BACKUP_JOBS="5", KEEP_DAILY="1")
    assert (settings.jobs, settings.keep) == (5, Keep(last=3, daily=1))


def test_the_same_key_with_different_values_in_two_files_names_both(place: Place) -> None:
    first = place.write(".env.prod", f"DATABASE_URL={URL}", "BACKUP_JOBS=2")
    second = place.write(".env", "", "BACKUP_JOBS=3")
    assert f"BACKUP_JOBS differs between {first} line 2 and {second} line 2" in place.problems()
    assert place.load(BACKUP_JOBS="4").jobs == 4


def test_a_key_given_twice_in_one_file_must_agree(place: Place) -> None:
    place.write(".env", f"DATABASE_URL={URL}", "BACKUP_JOBS=2", "BACKUP_JOBS=3")
    assert "line 3: BACKUP_JOBS differs from line 2" in place.problems()
    place.write(".env", f"DATABASE_URL={URL}", "BACKUP_JOBS=2", "BACKUP_JOBS=2")
    assert place.load().jobs == 2


def test_a_line_that_cannot_be_parsed_is_named_without_its_text(place: Place) -> None:
    path = place.write(
        ".env", f"DATABASE_URL={URL}", "", "# comment", "", "PGPASSWORD='hush", "A=b"
    )
    problems = place.problems()
    assert f"{path} line 5: is not KEY=value" in problems
    assert "hush" not in problems


def test_quotes_comments_export_and_a_byte_order_mark_are_understood(place: Place) -> None:
    path = place.root / ".env"
    path.write_bytes(
        b"\xef\xbb\xbfexport PGDATABASE='my shop' # comment\r\n"
        b'PGPASSWORD="a#b\\"c"\r\nPGUSER=ann # comment\r\nPGHOST=\r\n'
    )
    assert place.load().connection.parameters == {
        "dbname": "my shop",
        "password": 'a#b"c',
        "user": "ann",
    }


def test_keys_of_the_application_are_ignored(place: Place) -> None:
    place.write(".env", f"DATABASE_URL={URL}", "OPENAI_API_KEY=x", "BACKUPS=1", "PGDATA=/x")
    assert place.load(KEEPER="x").connection.dbname == "shop"


def test_an_unknown_key_of_ours_is_named_with_the_nearest(place: Place) -> None:
    path = place.write(".env", f"DATABASE_URL={URL}", "BACKUP_JOB=2")
    problems = place.problems(KEEP_DALY="1")
    assert f"{path} line 2: BACKUP_JOB is unknown; the nearest key is BACKUP_JOBS" in problems
    assert "environment: KEEP_DALY is unknown; the nearest key is KEEP_DAILY" in problems


def test_nothing_is_expanded_and_a_warning_says_so(place: Place) -> None:
    path = place.write(".env", "PGDATABASE=shop", "PGPASSWORD=${SECRET}")
    settings = place.load(SECRET="hush")
    assert settings.connection.parameters["password"] == "${SECRET}"
    assert [str(path) in warning for warning in settings.warnings] == [True]
    assert "PGPASSWORD holds ${...}" in settings.warnings[0]


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda path: path.mkdir(), "is not a file"),
        (os.mkfifo, "is not a file"),
        (lambda path: path.symlink_to("nowhere"), "cannot be read (No such file"),
        (lambda path: path.symlink_to(path), "cannot be read (Too many levels"),
        (lambda path: path.write_bytes(b"PGDATABASE=\xff"), "is not UTF-8 text"),
    ],
)
def test_what_stands_in_place_of_a_file_is_named(
    place: Place, make: Callable[[Path], None], complaint: str
) -> None:
    path = place.root / ".env"
    make(path)
    assert f"{path}: {complaint}" in place.problems("prod")
    assert f"{path}: {complaint}" in place.problems()


def test_a_file_that_one_may_not_read_is_named(open_place: Place) -> None:
    path = open_place.write(".env", f"DATABASE_URL={URL}", mode=0o000)
    problems = as_nobody(open_place.problems)
    assert f"{path}: cannot be read (Permission denied)" in problems


def test_a_host_directory_that_one_may_not_enter_hides_nothing(open_place: Place) -> None:
    path = open_place.host("prod.env", f"DATABASE_URL={URL}")
    open_place.host_dir.chmod(0o000)
    problems = as_nobody(lambda: open_place.problems("prod", PGDATABASE="other"))
    assert f"{path}: cannot be read (Permission denied)" in problems
    open_place.host_dir.chmod(0o700)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, 0), (0o640, 1), (0o604, 1), (0o620, 1)])
def test_a_file_that_others_can_read_is_a_warning_on_a_laptop(
    place: Place, mode: int, warned: int
) -> None:
    path = place.write(".env", f"DATABASE_URL={URL}", mode=mode)
    warnings = place.load().warnings
    assert len(warnings) == warned
    assert all(f"chmod 600 {path}" in warning for warning in warnings)


def test_a_file_that_everyone_can_read_is_an_error_on_a_backup_host(place: Place) -> None:
    path = place.host("prod.env", f"DATABASE_URL={URL}", mode=0o644)
    assert f"{path}: every user can read or change it" in place.problems()
    path.chmod(0o640)
    assert place.load().warnings == ()


# The connection


def test_every_style_alone_names_the_same_connection(place: Place) -> None:
    expected = {"host": "h", "port": "1", "dbname": "d", "user": "u", "password": "hush"}
    docker = ("HOST", "PORT", "DB", "USER", "PASSWORD")
    libpq = ("HOST", "PORT", "DATABASE", "USER", "PASSWORD")
    for environ in (
        {"DATABASE_URL": "postgresql://u:hush@h:1/d"},
        {f"POSTGRES_{name}": v for name, v in zip(docker, expected.values(), strict=True)},
        {f"PG{name}": v for name, v in zip(libpq, expected.values(), strict=True)},
    ):
        assert place.load("dev", **environ).connection.parameters == expected


def test_styles_that_agree_complete_each_other(place: Place) -> None:
    settings = place.load("dev", DATABASE_URL=URL, PGHOST="db1", POSTGRES_PORT="5433")
    assert settings.connection.parameters == {
        "host": "db1", "port": "5433", "dbname": "shop", "user": "app", "password": "hush",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "keyword"),
    [("PGPASSWORD", "password"), ("POSTGRES_DB", "dbname"), ("PGHOST", "host"), ("PGUSER", "user")],
)
def test_styles_that_disagree_are_named_without_their_values(
    place: Place, key: str, keyword: str
) -> None:
    path = place.write(".env", f"DATABASE_URL={URL}")
    problems = place.problems(**{key: "different"})
    assert f"DATABASE_URL ({path} line 1) and {key} (the process environment) disagree" in problems
    assert f"on the {keyword}" in problems
    assert "hush" not in problems
    assert "different" not in problems


def test_hosts_and_ports_of_different_styles_must_be_as_many(place: Place) -> None:
    problems = place.problems("dev", PGDATABASE="d", POSTGRES_HOST="a,b", PGPORT="1,2,3")
    assert "there must be one port, or as many as hosts" in problems


def test_no_database_is_an_error_that_names_the_files_read(place: Place) -> None:
    path = place.write(".env", "DATABASE_URL=postgresql://app:hush@db1")
    assert (
        f"No database is named: DATABASE_URL, PGDATABASE or POSTGRES_DB is missing in {path}"
        in (place.problems())
    )
    assert place.load(PGDATABASE="shop").connection.dbname == "shop"


def test_a_service_may_know_the_database(place: Place) -> None:
    settings = place.load("dev", PGSERVICE="shop")
    assert settings.connection.parameters == {"service": "shop"}


def test_a_service_file_that_is_named_is_read(place: Place) -> None:
    path = place.write("services", "[shop]", "host=h", "dbname=shop", "password=hush")
    environ = {"PGSERVICE": "shop", "PGSERVICEFILE": str(path)}
    assert place.load("dev", **environ).connection.parameters == {
        "host": "h", "dbname": "shop", "password": "hush",
    }  # fmt: skip
    assert "disagree on the host" in place.problems("dev", **environ, PGHOST="other")
    missing = place.problems("dev", PGSERVICE="shop", PGSERVICEFILE=str(place.root / "none"))
    assert f"{place.root / 'none'}: cannot be read" in missing


def test_every_libpq_variable_reaches_the_connection(place: Place) -> None:
    for name, key in KEYS.items():
        value = {"port": "1", "sslmode": "require"}.get(key.keyword, "x")
        if key.keyword:
            settings = place.load("dev", **{"POSTGRES_DB": "x", name: value})
            assert settings.connection.parameters[key.keyword] == value


def test_a_home_directory_is_expanded_in_paths(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    settings = place.load(
        "dev", DATABASE_URL=URL, BACKUP_DIR="~/b", PGPASSFILE="~/p", BACKUP_PG_BIN="~/bin"
    )
    assert settings.store == Path("/home/ann/b")
    assert settings.pg_bin == Path("/home/ann/bin")
    assert settings.connection.parameters["passfile"] == "/home/ann/p"
    assert "BACKUP_DIR begins with the home of a user that does not exist" in place.problems(
        "dev", DATABASE_URL=URL, BACKUP_DIR="~nobody-here/b"
    )


# Values


def test_the_defaults_are_those_that_the_table_of_keys_states(place: Place) -> None:
    settings = place.load("dev", DATABASE_URL=URL)
    assert settings.store == place.root / "backups" / "dev"
    assert settings.store_is_default
    assert settings.jobs == min(4, os.cpu_count() or 1)
    assert settings.pg_bin is None
    assert settings.required_tables == ()
    for key in KEYS.values():
        if key.default.isdigit():
            value = attrgetter(key.field)(settings)
            hours = timedelta(hours=int(key.default))
            assert value == (hours if isinstance(value, timedelta) else int(key.default))


def test_a_store_is_relative_to_the_root_and_an_argument_outdoes_it(place: Place) -> None:
    place.write(".env", f"DATABASE_URL={URL}", "BACKUP_DIR=kept/here")
    settings = place.load()
    assert (settings.store, settings.store_is_default) == (place.root / "kept/here", False)
    for environment in ("prod", "dev"):
        settings = load(
            environment,
            root=place.root,
            environ={"DATABASE_URL": URL},
            host_dir=place.host_dir,
            dest=Path("/elsewhere"),
        )
        assert (settings.store, settings.store_is_default) == (Path("/elsewhere"), False)


def test_required_tables_are_separated_by_commas(place: Place) -> None:
    settings = place.load("dev", DATABASE_URL=URL, BACKUP_REQUIRED_TABLES="a, s.b,,a")
    assert settings.required_tables == ("a", "s.b")


@pytest.mark.parametrize(
    ("value", "hours"), [("26", 26), ("26h", 26), ("90m", 1.5), ("2d", 48), (" 3 H ", 3)]
)
def test_the_age_that_a_backup_may_have_is_in_hours_or_has_a_unit(
    place: Place, value: str, hours: float
) -> None:
    settings = place.load("dev", DATABASE_URL=URL, BACKUP_MAX_AGE=value)
    assert settings.max_age.total_seconds() == hours * 3600


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("BACKUP_JOBS", "0"),
        ("BACKUP_JOBS", "many"),
        ("BACKUP_LOCK_TIMEOUT", "0"),
        ("BACKUP_LOCK_TIMEOUT", "60s"),
        ("BACKUP_MAX_SHRINK", "0"),
        ("BACKUP_MAX_SHRINK", "101"),
        ("BACKUP_MAX_AGE", "0"),
        ("BACKUP_MAX_AGE", "a day"),
        ("BACKUP_MAX_AGE", "-2h"),
        ("BACKUP_REQUIRED_TABLES", "a.b.c"),
        ("BACKUP_REQUIRED_TABLES", ".b"),
        ("KEEP_DAILY", "-1"),
        ("KEEP_YEARLY", "1.5"),
        ("BACKUP_DIR", "a\x00b"),
        ("PGUSER", "a\nb"),
        ("PGUSER", "\udcff"),
        ("PGPORT", "65536"),
        ("POSTGRES_PORT", "http"),
        ("PGSSLMODE", "yes"),
        ("DATABASE_URL", "mysql://h/d"),
    ],
)
def test_a_value_that_does_not_fit_is_named_by_its_key(place: Place, key: str, value: str) -> None:
    problems = place.problems("dev", **{"PGDATABASE": "shop", key: value})
    assert re.search(rf"^- the process environment: {key}\b", problems, re.MULTILINE)
    assert problems.count("\n- ") == 1


def test_keeping_nothing_is_refused(place: Place) -> None:
    path = place.write(".env", *(f"KEEP_{rule}=0" for rule in ("DAILY", "WEEKLY", "MONTHLY")))
    assert f"{path} line 1: KEEP_DAILY: every KEEP_ rule is 0" in place.problems(DATABASE_URL=URL)


def test_all_problems_are_reported_together(place: Place) -> None:
    path = place.write(".env", "BACKUP_JOBS=0", "KEEP_DAILY=x", "BACKUP_DIRR=y", "=", "PGPORT=0")
    problems = place.problems(PGHOST="a,b", POSTGRES_USER="a", PGUSER="b", KEEP_LAST="-1")
    for part in (
        f"{path} line 1: BACKUP_JOBS",
        f"{path} line 2: KEEP_DAILY",
        f"{path} line 3: BACKUP_DIRR is unknown",
        f"{path} line 4: is not KEY=value",
        f"{path} line 5: PGPORT",
        "the process environment: KEEP_LAST",
        "disagree on the user",
    ):
        assert part in problems


def test_settings_cannot_be_changed_nor_dumped_with_their_secrets(place: Place) -> None:
    settings = place.load("dev", DATABASE_URL=URL)
    with pytest.raises(ValueError, match="frozen"):
        settings.jobs = 1
    with pytest.raises(ValueError, match="valid integer") as caught:
        Keep.model_validate({"daily": "hush"})
    assert "hush" not in str(caught.value)
    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert "hush" not in shown


# What holds for any input

LINES = st.builds("{}={}".format, st.sampled_from([*KEYS, "KEEP_X", "OTHER"]), st.text(max_size=20))
FILES = st.dictionaries(
    st.sampled_from([".env", ".env.local", ".env.dev", ".env.prod", ".env.x_y"]),
    st.lists(LINES | st.text(max_size=20), max_size=5).map("\n".join).map(str.encode)
    | st.binary(max_size=40),
    max_size=3,
)
ENVIRONS = st.dictionaries(st.sampled_from([*KEYS, "BACKUP_X"]), st.text(max_size=20), max_size=5)


@hypothesis_settings(deadline=None)
@given(st.none() | st.text(max_size=8) | st.just("prod"), FILES, ENVIRONS)
def test_any_input_gives_settings_or_a_config_error(
    env: str | None, files: dict[str, bytes], environ: dict[str, str]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        place = Place(Path(directory))
        for name, content in files.items():
            (place.root / name).write_bytes(content)
        with suppress(ConfigError):
            assert place.load(env, **environ).environment


# Beside any text: what reads as a port, a parameter or a keyword when it is not encoded.
PASSWORDS = st.builds(
    str.format,
    st.sampled_from(["Zq{}Xj", "1/{}Xj", "1?{}Xj=1", "Zq&Xj=1{}", "Zq Xj=1{}"]),
    st.text("aé1:/?#@%&=+'\"\\ ,[]$;\n\x00", max_size=12),
)
SLOTS = st.sampled_from(
    [
        ("DATABASE_URL", "postgresql://app:{}@h:1/d"),
        ("DATABASE_URL", "postgresql://h/d?password={}"),
        ("DATABASE_URL", "host=h dbname=d password={}"),
        ("DATABASE_URL", "host=h dbname=d password='{}'"),
        ("DATABASE_URL", "{}"),
        ("PGPASSWORD", "{}"),
        ("POSTGRES_PASSWORD", "{}"),
    ]
)
PIECES = re.compile(r"Zq|Xj")


@hypothesis_settings(deadline=None)
@given(PASSWORDS, SLOTS, st.booleans(), ENVIRONS)
def test_no_piece_of_a_password_is_ever_shown(
    password: str, slot: tuple[str, str], in_file: bool, environ: dict[str, str]
) -> None:
    # Pieces, not the whole: a URL with an unencoded / would make a host or port of one half.
    key, value = slot[0], slot[1].format(password)
    with tempfile.TemporaryDirectory(prefix="t") as directory:
        place = Place(Path(directory))
        if in_file:
            (place.root / ".env").write_text(f"{key}={value}")
        else:
            environ = {**environ, key: value}
        try:
            settings = place.load("prod", **environ)
            shown = f"{settings!r} {settings} {settings.model_dump_json()} {settings.connection}"
        except ConfigError as error:
            shown = f"{error} {error!r} {error.__cause__!r} {error.__context__!r}"
        assert not PIECES.search(shown.replace(directory, ""))


# What users read


def test_the_example_explains_every_key_with_its_default() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    offered = dict(
        line.removeprefix("# ").split("=", 1) for line in lines if re.match(r"# [A-Z_]+=", line)
    )
    assert set(offered) == set(KEYS)
    for name, value in offered.items():
        default = KEYS[name].default
        assert name == "DATABASE_URL" or value == (default if default.isdigit() else "")


def test_every_key_is_described() -> None:
    assert all(key.description for key in KEYS.values())
