"""Hostile files, and attacks: what would run code if anything that a config or a file names were called."""

import os
import pickle
from collections.abc import Iterator
from pathlib import Path

Trial = tuple[str, tuple[str, ...]]
CALLABLES = (
    "os.system", "subprocess.Popen", "builtins.eval", "builtins.exec", "builtins.__import__", "shutil.rmtree",
    "pty.spawn", "torch.load", "pickle.loads", "mot_lightning.config.files.sys.exit", "lightning.os.system",
    "datamodules.os.system", "diffusers.os.system", "runpy.run_path", "ctypes.CDLL", "importlib.import_module",
)  # fmt: skip
SLOTS = (
    "data", "trainer.callbacks", "trainer.logger", "trainer.strategy", "trainer.profiler", "trainer.accelerator",
    "trainer.plugins", "model.optimizer.algorithm", "model.modalities.image.codec", "model.modalities.image.objective",
)  # fmt: skip
TAGS = ("python/object/apply:os.system", "python/object/new:os.system", "python/name:os.system", "python/module:os",
        "python/object:subprocess.Popen")  # fmt: skip


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch executed",)


def bad_files(folder: Path) -> Iterator[Trial]:
    """Files that are no config."""
    laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
    laughs += "".join(f"a{i + 1}: &a{i + 1} [{','.join([f'*a{i}'] * 9)}]\n" for i in range(12))
    contents = {
        "cycle": b"a: &a\n  b: *a\n", "laughs": laughs.encode(), "deep": b"[" * 20_000, "tag": b"a: !!timestamp x",
        "binary": bytes(range(256)) * 8, "latin": b"seed: \xe9", "list": b"[1]", "text": b"hello",
        "twice": b"a: 1\na: 2",
        "own_base": b"base: own_base.yaml", "nul": b"a: \0", "escape": b"\"a\\x1b[31m\": 1",
    }  # fmt: skip
    for name, content in contents.items():
        (folder / f"{name}.yaml").write_bytes(content)
        yield name, (f"--config={folder / name}.yaml",)
    yield "folder", (f"--config={folder}",)
    yield "nothing", (f"--config={folder / 'nothing.yaml'}",)


def attacks(folder: Path) -> Iterator[Trial]:
    """Class paths of anything that can be imported, YAML tags, and pickles as checkpoints."""
    for slot in SLOTS:
        for path in CALLABLES:
            yield (
                f"{slot}={path}",
                (f'--{slot}={{"class_path": "{path}", "init_args": {{"command": "touch executed"}}}}',),
            )
    for i, tag in enumerate(TAGS):
        (folder / f"tag{i}.yaml").write_text(f"seed: !!{tag} ['touch executed']\n")
        yield tag, (f"--config={folder}/tag{i}.yaml",)
    (folder / "pickle.ckpt").write_bytes(pickle.dumps(Payload()))
    for option in ("ckpt_path", "init_from"):
        yield f"pickle as {option}", (f"--{option}={folder}/pickle.ckpt",)
    (folder / "secret").write_text("password: SECRET\n")
    yield "strategy of a file", (f"--trainer.strategy={folder}/secret",)
