"""What an audit says: anomalies, moments of a timeline, the report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ffem_chain.audit.history import History
from ffem_chain.chain.events import CaptureRegistered


class Severity(Enum):
    """BROKEN: the audit's basis does not hold. WARNING: somebody should act. NOTICE: good to know."""

    BROKEN = 3
    WARNING = 2
    NOTICE = 1


class Kind(Enum):
    """What is out of the ordinary. The values are what people and `--json` read."""

    UNKNOWN_CODE = "unknown contract code"
    MISSING_HISTORY = "missing history"
    DELIVERY_MISMATCH = "delivery does not match its commit"
    SILENT_KEEPER = "silent keeper"
    UNDELIVERED_COMMIT = "undelivered commit"
    UNANSWERABLE_REQUEST = "request that keepers must not answer"
    IMPROPER_RELEASE = "release that should not have been"
    UNREADABLE_PAYLOAD = "unreadable grant"
    COMPROMISED_KEY = "live grant to a compromised key"
    NOT_SERVED = "capture that no store serves"
    DIRECT_GRANT = "direct grant"
    REVOKED_TOO_LATE = "revoked too late"
    EXPIRED = "expired grant"
    KEEPERS_PENDING = "keepers not accepted"
    OWNER_ONLY_KEEPER = "the owner is the only keeper"
    RECIPIENT_IS_KEEPER = "recipient among its keepers"


@dataclass(frozen=True)
class Anomaly:
    """Something out of the ordinary: a sentence, what to do, and where (ids empty, block 0 where not applicable)."""

    kind: Kind
    severity: Severity
    text: str
    hint: str
    block: int = 0
    grant: bytes = b""
    album: bytes = b""
    uid: bytes = b""
    wallet: str = ""


@dataclass(frozen=True)
class Moment:
    """One event in words. `time` in unix seconds, 0 where the node did not say."""

    block: int
    time: int
    tx: bytes
    log_index: int
    kind: str
    text: str
    album: bytes = b""
    grant: bytes = b""
    uid: bytes = b""
    wallet: str = ""


@dataclass(frozen=True)
class Counts:
    """How much there is in a registry. `captures` are registered by themselves, others in `batches`; `opened`: grants
    through keepers; `alone`: keeper sets of the owner alone."""

    events: int
    albums: int
    captures: int
    batches: int
    grants: int
    opened: int
    direct: int
    revoked: int
    alone: int

    @classmethod
    def of(cls, history: History) -> Counts:
        """Counted in a whole history."""
        ledgers, sets = history.grants.values(), history.keeper_sets.values()
        return cls(
            events=len(history.events),
            albums=len(history.albums),
            captures=sum(len(album.captures) for album in history.albums.values()),
            batches=sum(len(album.batches) for album in history.albums.values()),
            grants=len(history.grants),
            opened=sum(ledger.state.opened and not ledger.direct for ledger in ledgers),
            direct=sum(ledger.direct for ledger in ledgers),
            revoked=sum(ledger.state.revoked for ledger in ledgers),
            alone=sum(k.proposed.keepers == (history.owner_of(k.proposed.album),) for k in sets),
        )


@dataclass(frozen=True)
class Report:
    """An audit, valid for the chain that ends with block `block_hash`.

    `complete`: the block's hash proves that no event is missing which changed the state. `basis` says in words what
    that rests on, `limits` what no audit can prove. `times` are the unix seconds of the blocks with events. `counts`
    are of the whole registry; `history`, `timeline` and `anomalies` of what was asked about, if that was less. `listed`
    are captures of batches that were asked about, as if each had been registered by itself, each proven under the
    root of its batch; `unlisted` counts the batches whose lists were looked for and are not known. An audit of
    everything looks for none.
    """

    address: str
    deployment: bytes
    chain_id: int
    block: int
    block_hash: bytes
    time: int
    complete: bool
    basis: str
    anomalies: tuple[Anomaly, ...]
    timeline: tuple[Moment, ...]
    limits: tuple[str, ...]
    history: History
    times: dict[int, int]
    counts: Counts
    listed: tuple[CaptureRegistered, ...] = ()
    unlisted: int = 0

    @property
    def worst(self) -> Severity | None:
        """Severity of the worst anomaly."""
        return max((a.severity for a in self.anomalies), key=lambda s: s.value, default=None)
