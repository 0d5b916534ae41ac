"""A Slurm of one node on this machine's loopback, as a child of this process: for tests, and to try things by hand.

It needs Debian's slurmctld, slurmd and slurm-client, and root; neither systemd nor munge nor cgroups. The two GPUs are
made up: jobs get their numbers, as on a real node, and find nothing behind them. By hand:
  python tests/slurm/cluster.py DIR    runs until Ctrl-C or SIGTERM; in another shell: export SLURM_CONF=DIR/slurm.conf
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo", "setpriv")
CPUS, MEMORY_MB = 4, 64_000
# Slurm wants a device file for each GPU, any one.
STAND_INS = ("/dev/null", "/dev/zero")
SECONDS_TO_START, SECONDS_TO_END = 120, 10
# Seconds between SIGTERM and SIGKILL for a job that ends, and that a requeued job waits (Slurm takes no less than 5).
KILL_WAIT_S, REQUEUE_WAIT_S = 5, 5

CONFIGURATION = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
AuthInfo=cred_expire={requeue_wait}
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=1000
GresTypes=gpu
JobRequeue=1
KillWait={kill_wait}
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=100000,bf_interval=2
StateSaveLocation={folder}/controller
SlurmdSpoolDir={folder}/node
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName=localhost NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory_mb} Gres=gpu:{gpus}
PartitionName=main Nodes=localhost Default=YES MaxTime=INFINITE State=UP
"""


def missing_programs() -> list[str]:
    """Slurm's programs that this machine lacks."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


class Cluster:
    """The controller and the node, with all their state in `folder`; ends with the block it is used in."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.configuration = folder / "slurm.conf"
        self.processes: list[subprocess.Popen] = []

    @property
    def environment(self) -> dict[str, str]:
        """What Slurm's commands need to find this cluster."""
        return {"SLURM_CONF": str(self.configuration)}

    def __enter__(self) -> "Cluster":
        for place in (self.folder, self.folder / "controller", self.folder / "node"):
            place.mkdir(parents=True, exist_ok=True)
        controller_port, node_port = _free_ports(2)
        self.configuration.write_text(
            CONFIGURATION.format(
                host=socket.gethostname().split(".")[0],
                controller_port=controller_port,
                node_port=node_port,
                folder=self.folder,
                kill_wait=KILL_WAIT_S,
                requeue_wait=REQUEUE_WAIT_S,
                cpus=CPUS,
                gpus=len(STAND_INS),
                memory_mb=MEMORY_MB,
            )
        )
        gpus = [f"NodeName=localhost Name=gpu File={device}\n" for device in STAND_INS]
        (self.folder / "gres.conf").write_text("".join(gpus))
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=autodetect\n")
        try:
            self._start("slurmctld", "-D", "-i")
            self._start("slurmd", "-D")
            self._wait_until_idle()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel_all()
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self.processes):
            with suppress(subprocess.TimeoutExpired):
                process.wait(SECONDS_TO_END)
            process.kill()
            process.wait()
        self.processes = []
        for process in _processes_with(self.environment):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def command(self, *words: str) -> str:
        """What one of Slurm's commands prints. Raises CalledProcessError if it fails."""
        return subprocess.run(
            words, env={**os.environ, **self.environment}, check=True, capture_output=True, text=True, timeout=120
        ).stdout.strip()

    def jobs(self) -> dict[str, str]:
        """The state of every job that has not ended, by its number; of arrays, those of each task."""
        with suppress(subprocess.SubprocessError):
            lines = self.command("squeue", "--noheader", "--array", "--format=%i %T").splitlines()
            return dict(line.split() for line in lines)
        return {}

    def cancel_all(self) -> None:
        """End every job."""
        with suppress(OSError, subprocess.SubprocessError):
            self.command("scancel", "--signal=KILL", "--full", "--user=root")
            self.command("scancel", "--user=root")
        end = time.monotonic() + SECONDS_TO_END
        while self.jobs() and time.monotonic() < end:
            time.sleep(0.2)

    def _start(self, name: str, *words: str) -> None:
        ending_with_us = ("setpriv", "--pdeathsig", "TERM", name)
        with (self.folder / f"{name}.out").open("ab") as output:
            process = subprocess.Popen(
                (*ending_with_us, *words),
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.processes.append(process)

    def _wait_until_idle(self) -> None:
        end = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < end:
            with suppress(subprocess.SubprocessError):
                if self.command("sinfo", "--noheader", "--format=%T") == "idle":
                    return
            if any(process.poll() is not None for process in self.processes):
                break
            time.sleep(0.1)
        logs = "\n".join(file.read_text(errors="replace")[-2000:] for file in sorted(self.folder.glob("slurm*.out")))
        raise RuntimeError(f"Slurm did not start:\n{logs}")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _processes_with(environment: dict[str, str]) -> list[int]:
    """Processes, other than this one, that were started with these variables."""
    marks = {f"{name}={value}".encode() for name, value in environment.items()}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # ended meanwhile
            if int(folder.name) != os.getpid() and marks <= set((folder / "environ").read_bytes().split(b"\0")):
                found.append(int(folder.name))
    return found


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell starts commands in the background without the first
        signal.signal(number, signal.default_int_handler)
    with Cluster(Path(sys.argv[1]).resolve()) as cluster, suppress(KeyboardInterrupt):
        print(f"export SLURM_CONF={cluster.configuration}", flush=True)
        signal.pause()
