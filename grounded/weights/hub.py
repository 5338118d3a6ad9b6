"""Fetch weights from the Hugging Face hub: the needed files alone, and of a download that broke off what it lacks."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download, try_to_load_from_cache
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


@dataclass(frozen=True)
class Download:
    """The files of a repository that are needed, and the bytes that the cache lacks of them."""

    hub_id: str
    files: tuple[str, ...]
    missing: tuple[str, ...]
    missing_bytes: int
    bytes: int


def cached(hub_id: str) -> Path | None:
    """Return the folder of a repository as far as the cache holds it, without asking the hub."""
    try:
        return Path(snapshot_download(hub_id, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def look_up(hub_id: str, files: Sequence[str] | None = None) -> Download:
    """Return what the named files of a repository take; where ``files`` is None, all that lie in no folder of it.

    The hub is not asked where the cache holds them all.

    Raises:
        WeightsError: the repository is not found or gated, lacks a file, or the machine is offline.
    """
    with sentences(hub_id):
        paths = {name: try_to_load_from_cache(hub_id, name) for name in files or ()}
        if files and all(isinstance(path, str) for path in paths.values()):
            size = sum(Path(str(path)).stat().st_size for path in paths.values())
            return Download(hub_id, tuple(files), (), 0, size)
        sizes = {s.rfilename: s.size or 0 for s in HfApi().model_info(hub_id, files_metadata=True).siblings or []}
        if files is not None and (absent := sorted(set(files) - sizes.keys())):
            raise WeightsError(f"{hub_id} on the hub lacks {', '.join(absent)}")
        needed = tuple(name for name in sizes if ("/" not in name if files is None else name in files))
        missing = tuple(name for name in needed if not isinstance(try_to_load_from_cache(hub_id, name), str))
        return Download(hub_id, needed, missing, *(sum(sizes[name] for name in group) for group in (missing, needed)))


def fetch(download: Download) -> Path:
    """Return a local folder with the files.

    What the cache holds is not fetched again, so that a download which broke off goes on with the file it was at.

    Raises:
        WeightsError: the download fails.
    """
    with sentences(download.hub_id):
        if download.missing:
            size = download.missing_bytes / 1e9
            log.info("fetching %d files, %.1f GB, of %s", len(download.missing), size, download.hub_id)
        patterns = list(download.files)
        return Path(snapshot_download(download.hub_id, allow_patterns=patterns, local_files_only=not download.missing))


def delete(folder: Path, files: Sequence[str]) -> None:
    """Delete files of a cached snapshot, the links and what they point to."""
    for name in files:
        blob = (folder / name).resolve()
        (folder / name).unlink(missing_ok=True)
        blob.unlink(missing_ok=True)


@contextmanager
def sentences(hub_id: str) -> Iterator[None]:
    """Let whatever goes wrong with a repository end as one WeightsError."""
    try:
        yield
    except WeightsError:
        raise
    except GatedRepoError as error:
        raise WeightsError(
            f"{hub_id} is gated: accept its terms on the hub, then log in with `hf auth login` or set HF_TOKEN"
        ) from error
    except RepositoryNotFoundError as error:
        raise WeightsError(f"{hub_id} was not found on the hub, or is private and needs a token (HF_TOKEN)") from error
    except HFValidationError as error:
        raise WeightsError(f"{hub_id!r} is neither a folder nor a valid hub id (owner/name)") from error
    except LocalEntryNotFoundError as error:
        raise _unreachable(hub_id, error) from error
    except (EntryNotFoundError, HfHubHTTPError) as error:
        raise WeightsError(f"{hub_id} on the hub: {error}") from error
    except OSError as error:
        if error.errno is None:
            raise _unreachable(hub_id, error) from error
        raise WeightsError(f"fetching {hub_id} failed: {error}") from error
    except Exception as error:  # the HTTP library below huggingface_hub changes, so its errors have no name here
        raise _unreachable(hub_id, error) from error


def _unreachable(hub_id: str, error: Exception) -> WeightsError:
    return WeightsError(
        f"{hub_id} is not in the local cache and the hub cannot be reached ({type(error).__name__}); "
        "connect, or pass a folder"
    )
