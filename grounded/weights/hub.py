"""Fetch weights from the Hugging Face hub: the needed files alone, resumed, and refused where the disk is too small."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from ..errors import WeightsError

log = logging.getLogger(__name__)


def fetch(hub_id: str, files: Sequence[str] | None = None) -> Path:
    """Return a local folder with the named files of a hub repository (all of them where ``files`` is None).

    What the cache already holds is not fetched again, and a download that broke off goes on where it stopped.

    Raises:
        WeightsError: the repository is not found or gated, lacks a file, the machine is offline, the disk too small.
    """
    cached = _cached(hub_id, files)
    if cached is not None:
        return cached
    try:
        sizes = {s.rfilename: s.size or 0 for s in HfApi().model_info(hub_id, files_metadata=True).siblings or []}
        wanted = [name for name in sizes if files is None or name in files]
        if files is not None and (absent := sorted(set(files) - sizes.keys())):
            raise WeightsError(f"{hub_id} on the hub lacks {', '.join(absent)}")
        _check_room(sum(sizes[name] for name in wanted))
        log.info("fetching %d files, %.1f GB, of %s", len(wanted), sum(sizes[n] for n in wanted) / 1e9, hub_id)
        return Path(snapshot_download(hub_id, allow_patterns=wanted))
    except GatedRepoError as error:
        raise WeightsError(
            f"{hub_id} is gated: accept its terms on the hub, then log in with `hf auth login` or set HF_TOKEN"
        ) from error
    except RepositoryNotFoundError as error:
        raise WeightsError(f"{hub_id} was not found on the hub, or is private and needs a token (HF_TOKEN)") from error
    except HFValidationError as error:
        raise WeightsError(f"{hub_id!r} is neither a folder nor a valid hub id (owner/name)") from error
    except (EntryNotFoundError, HfHubHTTPError) as error:
        if isinstance(error, LocalEntryNotFoundError):
            raise _unreachable(hub_id, error) from error
        raise WeightsError(f"fetching {hub_id} failed: {error}") from error
    except WeightsError:
        raise
    except (
        Exception
    ) as error:  # offline: the HTTP library below huggingface_hub changes, so its errors have no name here
        raise _unreachable(hub_id, error) from error


def _unreachable(hub_id: str, error: Exception) -> WeightsError:
    return WeightsError(
        f"{hub_id} is not in the local cache and the hub cannot be reached ({type(error).__name__}); "
        "connect, or pass a folder"
    )


def cached(hub_id: str) -> Path | None:
    """Return the folder of a repository as far as the cache holds it, without asking the hub."""
    try:
        return Path(snapshot_download(hub_id, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def _cached(hub_id: str, files: Sequence[str] | None) -> Path | None:
    """Return the cached snapshot if it holds every file, without asking the hub."""
    if files is None:
        return None  # only the hub knows whether it is whole
    try:
        folder = Path(snapshot_download(hub_id, allow_patterns=list(files), local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
    return folder if all((folder / name).is_file() for name in files) else None


def _check_room(wanted: int) -> None:
    cache = Path(constants.HF_HUB_CACHE)
    existing = next(path for path in (cache, *cache.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < wanted:
        raise WeightsError(f"the download needs {wanted / 1e9:.1f} GB, but {existing} has {free / 1e9:.1f} GB free")
