"""What a handler sees of its machine: the process's variables, the packages, and AWS's names for our folders."""

from __future__ import annotations

import importlib.util
import os
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from .invocations import Recipe

if TYPE_CHECKING:
    from .environment import Environment
    from .permissions import Credential

RUNTIME = Path(__file__).parent / "runtime"
"""The folder with what runs in the handler's process."""

_OURS = ("awslambdaric", "boto3", "time_machine", "simplejson", "six", "dateutil")
_folders: list[str] | None = None


def variables(environment: Environment, address: str, credentials: Credential) -> dict[str, str]:
    """Return the whole environment of a process (row D52), and what its bootstrap takes out of it."""
    recipe, space = environment.recipe, environment.space
    own = (
        {}
        if recipe.json_level is None
        else {
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "AWS_LAMBDA_LOG_LEVEL": recipe.json_level,
        }
    )
    system = {name: os.environ[name] for name in ("SYSTEMROOT", "WINDIR") if name in os.environ}
    return {
        **system,
        "PATH": os.pathsep.join(("/usr/local/bin", "/usr/bin", "/bin")),
        "LANG": "en_US.UTF-8",
        "LC_CTYPE": "C.UTF-8",
        "TZ": ":UTC",
        "PYTHONPATH": "/var/runtime",
        "TMPDIR": str(environment.folder),
        **recipe.variables,
        **own,
        "AWS_LAMBDA_FUNCTION_NAME": recipe.function,
        "AWS_LAMBDA_FUNCTION_VERSION": recipe.version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(recipe.memory),
        "AWS_LAMBDA_LOG_GROUP_NAME": recipe.log_group,
        "AWS_LAMBDA_LOG_STREAM_NAME": environment.stream,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_RUNTIME_API": address,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{recipe.runtime}",
        "AWS_REGION": space.region,
        "AWS_DEFAULT_REGION": space.region,
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_SESSION_TOKEN": credentials.session_token or "",
        "AWS_ENDPOINT_URL": space.url,
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1:2000",
        "_HANDLER": recipe.handler,
        # These two must name a folder that exists here; in the log they read /var/task.
        "LAMBDA_TASK_ROOT": str(recipe.code),
        "PWD": str(recipe.code),
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "_LOCAL_AWS_SERVER": str(os.getpid()),
        "_LOCAL_AWS_PACKAGES": os.pathsep.join(package_folders()),
        "_LOCAL_AWS_CLOCK": str(environment.pool.clock_file),
        "_LOCAL_AWS_PURE": "" if _has_extension() else "1",
        "_LOCAL_AWS_CODE": str(recipe.code),
    }


def translations(recipe: Recipe) -> list[tuple[bytes, bytes]]:
    """Return this machine's folders and what AWS has in their place, for stack traces."""
    library = f"/var/lang/lib/{recipe.runtime}"
    pairs = [
        (str(recipe.code), "/var/task"),
        (str(recipe.code.resolve()), "/var/task"),
        (str(RUNTIME), "/var/runtime"),
    ]
    pairs += [(folder, f"{library}/site-packages") for folder in package_folders()]
    pairs.append((sysconfig.get_path("stdlib"), library))
    pairs.append((os.path.dirname(os.__file__), library))
    return [(here.encode(), there.encode()) for here, there in dict(pairs).items()]


def package_folders() -> list[str]:
    """Return the folders in which the packages of Lambda's Python runtime are installed."""
    global _folders
    if _folders is None:
        found = []
        for name in _OURS:
            spec = importlib.util.find_spec(name)
            if spec is not None and spec.origin:
                origin = Path(spec.origin)
                found.append(str(origin.parent.parent if origin.name == "__init__.py" else origin.parent))
        _folders = list(dict.fromkeys(found))
    return _folders


def _has_extension() -> bool:
    if os.environ.get("LOCAL_AWS_PURE_RUNTIME_CLIENT"):
        return False
    return importlib.util.find_spec("runtime_client") is not None
