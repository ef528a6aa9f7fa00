"""Follow deployment.md word for word, in a fresh Debian that has no network.

    sudo python export/follow_deployment.py WORK [--series FOLDER] [--container]

The blocks of the guide are read from it. Those for the machine with internet run here, in WORK, on
a copy of this checkout; those for the node run as root of a fresh root that debootstrap makes,
without a network but its own loopback. The node then runs as its user, answers C-ECHO, and, with
--series, gets that T1 series by C-STORE and sends a FLAIR to an archive on its port. What needs
systemd as the first process is left to `systemd-analyze verify` (tests/export). With --container
buildah makes the CPU image on the same Debian, and the image is asked for its acceptance.

Needs debootstrap, util-linux and iproute2; for --container buildah.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

EXPORT = Path(__file__).resolve().parent
SUITE, MIRROR = "bookworm", "http://deb.debian.org/debian"
PACKAGES = "python3-venv,iproute2,curl,ca-certificates"
SOURCES = ("hagan_clinic", "export", "pyproject.toml", "README.md", "LICENSE", "constraints.txt")

RUN = """
set -eu
ip link set lo up
bin=/opt/hagan-clinic/current/bin
as_node() {{
    exec setpriv --reuid hagan-clinic --regid hagan-clinic --clear-groups \\
        env HOME=/var/lib/hagan-clinic "$@"
}}
mkdir -p /archive
"$bin/python" -m pynetdicom storescp -aet ORTHANC -od /archive 4242 2> /archive.log &
archive=$!
as_node "$bin/hagan-clinic" listen --config /etc/hagan-clinic/node.toml 2> /node.log &
node=$!
until grep -q '"listening"' /node.log; do
    kill -0 $node || {{ cat /node.log; exit 1; }}
    sleep 1
done
{running}
if [ -d /series ]; then
    "$bin/python" -m pynetdicom storescu -aet ORTHANC -aec HAGAN -r 127.0.0.1 11112 /series
    until grep -q '"audit"' /node.log; do kill -0 $node; sleep 1; done
    "$bin/hagan-clinic" spool show --spool /var/lib/hagan-clinic/spool
    "$bin/python" -c "
import pathlib, pydicom
made = [pydicom.dcmread(path) for path in pathlib.Path('/archive').iterdir()]
sent = [p for p in pathlib.Path('/series').rglob('*') if p.is_file() and pydicom.misc.is_dicom(p)]
print(len(sent), 'sent,', len(made), 'came back:', {{one.SeriesDescription for one in made}})
assert len(made) == len(sent)
assert all(one.SyntheticData == 'YES' for one in made)"
fi
kill -TERM $node $archive
wait $node
"""


def main() -> None:
    """Do what the guide says, or stop where it does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path, help="folder to work in, with 6 GB of space")
    parser.add_argument("--series", type=Path, help="folder of one T1 series, one file a slice")
    parser.add_argument("--container", action="store_true", help="build the CPU image too")
    arguments = parser.parse_args()
    needed = ["debootstrap", "unshare", *(["buildah"] if arguments.container else [])]
    if missing := [name for name in needed if shutil.which(name) is None]:
        sys.exit(f"{', '.join(missing)} not found: install first")
    if os.geteuid():
        sys.exit("this makes a root of its own: run it as root")
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    guide = (EXPORT / "deployment.md").read_text("utf-8")

    base, root = work / "debian", work / "root"
    if not base.exists():
        part = str(work / "debootstrap")
        shutil.rmtree(part, ignore_errors=True)
        run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, part, MIRROR])
        Path(part).rename(base)
    shutil.rmtree(root, ignore_errors=True)
    run(["cp", "--archive", str(base), str(root)])
    if not (work / "hagan-clinic.tar").exists():
        for name in SOURCES:
            copy(EXPORT.parent / name, work / name)
        run(["bash", "-euxc", blocks(guide, "connected")], cwd=work)
    copy(work / "hagan-clinic.tar", root / "root" / "hagan-clinic.tar")
    if arguments.series is not None:
        copy(arguments.series, root / "series")
    run(offline(root, blocks(guide, "node")))
    run(offline(root, RUN.format(running=blocks(guide, "running"))))
    if arguments.container:
        build_container(base)
    print("the guide holds")


def blocks(guide: str, kind: str) -> str:
    """The commands of all blocks of a kind."""
    found = re.findall(rf"^```bash {kind}\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    assert found, kind
    return "".join(found)


def offline(root: Path, script: str) -> list[str]:
    """The command that runs a script as root of another root, without a network."""
    script = f"cd /root\n{script}"
    chroot = [
        "chroot",
        str(root),
        "/usr/bin/env",
        "-i",
        f"PATH={PATH}",
        "bash",
        "-eux",
        "-c",
        script,
    ]
    mounted = f"mount -t proc proc {root}/proc && exec " + '"$@"'
    return ["unshare", "--net", "--mount", "--pid", "--fork", "bash", "-c", mounted, "-", *chroot]


PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def build_container(base: Path) -> None:
    """The CPU image on a fresh Debian, and its acceptance; chroot isolation needs no daemon."""
    script = """
    base=$(buildah from scratch)
    buildah add --quiet "$base" "$1" /
    buildah commit --quiet --rm "$base" localhost/debian:bookworm-slim
    buildah build --format docker --ignorefile .containerignore $BUILDAH_OPTIONS \\
        --build-arg BASE=localhost/debian:bookworm-slim \\
        --file export/Containerfile --tag hagan-clinic .
    node=$(buildah from localhost/hagan-clinic)
    buildah run "$node" -- hagan-clinic accept t1_to_flair --device cpu
    buildah rm "$node"
    """
    isolated = {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs", "BUILDAH_OPTIONS": ""}
    command = ["bash", "-euxc", script, "-", str(base)]
    run(command, cwd=EXPORT.parent, env={**isolated, **os.environ})


def copy(source: Path, target: Path) -> None:
    """A file or folder, over what is there."""
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy(source, target)


def run(command: list[str], **options: object) -> None:
    """Run, and stop at a failure."""
    if subprocess.run(command, **options).returncode:
        sys.exit(f"failed: {' '.join(command)[:2000]}")


if __name__ == "__main__":
    main()
