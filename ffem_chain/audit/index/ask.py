"""Questions to the index: the same report as of a whole audit, of what the question is about.

The index is compared with the chain first: its storage root with the one under the block's hash. Only where they are
equal an answer comes from it; otherwise the whole audit says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ffem_chain.audit.captures import Listed
from ffem_chain.audit.findings import findings
from ffem_chain.audit.history import rebuild
from ffem_chain.audit.index import links
from ffem_chain.audit.index.lists import AGAIN, ListIndex
from ffem_chain.audit.index.slices import Want, cut
from ffem_chain.audit.index.store import Store
from ffem_chain.audit.index.update import Index
from ffem_chain.audit.limits import limits
from ffem_chain.audit.model import Counts, Report
from ffem_chain.audit.proofs import Header, Prover, deployment_in
from ffem_chain.audit.releases import Scene
from ffem_chain.audit.run import PATIENCE, at_block, unproven_times
from ffem_chain.audit.source import Progress
from ffem_chain.audit.storage import words
from ffem_chain.audit.timeline import timeline
from ffem_chain.capture.proof import CaptureProof
from ffem_chain.chain import events as ev
from ffem_chain.errors import FormatError
from ffem_chain.roles.lists import Lists
from ffem_chain.stores.cid import digest_of_cid

_MOST = 50  # captures and grants whose first digits are those of a name


@dataclass(frozen=True)
class Question:
    """What is asked about: a capture (uid, its first digits, CID), a grant (first digits of its id), a wallet
    (checksummed), or several of them. Answers hold all that `views` need of them. `proof`: of the capture, in place of
    the list of its batch."""

    capture: str | None = None
    proof: CaptureProof | None = None
    grant: str | None = None
    wallet: str | None = None


def ask(
    index: Index,
    question: Question,
    *,
    block: int | bytes | None = None,
    confirmations: int = 1,
    patience: int = PATIENCE,
    lists: Callable[[], Lists] | None = None,
    progress: Progress | None = None,
) -> Report | None:
    """What the registry's history says of it, at the block that `run.audit` would take; the index reads on first.

    `lists` gives the lists of batches that the index lacks, where a capture is asked about; those that it does not get
    are counted in the report as `unlisted`. None where the index cannot say: the node gives no proofs, its logs do not
    account for the contract's storage, or the block is older than the index. Raises like `run.audit`.
    """
    registry = index.registry

    def work(header: Header) -> Report | None:
        with index.locked():
            if block is not None and header.number < index.block:
                return None
            index.update(header, progress)
            if not index.proven(None, header):
                code = registry.code(header.number)
                if deployment_in(code) != index.deployment:
                    return None
                prover = Prover(registry, header)
                prover.check_code(code)
                if not index.proven(prover, header):
                    return None
            if question.capture is not None and question.proof is None and lists is not None:
                _take(index, question.capture, lists, progress)
            return _report(index, header, question, patience)

    return at_block(registry, work, block, confirmations, progress)


def _report(index: Index, header: Header, question: Question, patience: int) -> Report:
    store = index.store
    listed = [] if question.capture is None else _listed(index.lists, question.capture)
    if question.proof is not None:
        shown = index.lists.shown(question.proof)
        listed += [one for one in shown if one not in listed]
    events = _about(store, question, listed)
    history = rebuild(events, header.time, whole=False)
    # The words of what is shown are those under the proven root: a damaged file is noticed here.
    if history.gaps or not index.trie.agrees({slot: word.value for slot, word in words(history).items()}):
        raise FormatError(f"the index {store.path} is damaged", "remove it: it is made anew from the chain")
    times = store.times(event.block for event in events)
    counts = _counts(store)
    complete = bool(store.meta("complete", 0))
    return Report(
        address=index.registry.address,
        deployment=index.deployment,
        chain_id=index.chain_id,
        block=header.number,
        block_hash=header.hash,
        time=header.time,
        complete=complete,
        basis=str(store.meta("basis")),
        anomalies=tuple(findings(Scene(history, header.time, times, patience))),
        timeline=timeline(history, times),
        limits=(*unproven_times(store.unproven()), *limits(counts, complete, header.number)),
        history=history,
        times=times,
        counts=counts,
        listed=tuple(one.event() for one in listed),
        unlisted=0 if question.capture is None else len(index.lists.unknown()),
    )


def _about(store: Store, question: Question, listed: Sequence[Listed]) -> list[ev.Event]:
    """The slice that answers a question, and what is broken anywhere."""
    want = Want(keepers=True, grants=set(store.noted("broken")))
    if question.capture is not None:
        want.captures = [*_captures(store, question.capture), *(one.batch for one in listed)]
        albums = {one.album for one in want.captures if isinstance(one, ev.CaptureRegistered | ev.CapturesRegistered)}
        want.grants |= _grants(store.named(links.grants_of(album) for album in albums).values())
    if question.grant is not None:
        want.grants |= _grants(store.beginning(b"G", question.grant, _MOST))
    if question.wallet is not None:
        wallet = question.wallet
        want.wallets.add(wallet)
        want.grants |= _grants(store.named([links.granted_to(wallet)]).values())
        roles = store.named([links.owned_by(wallet), links.kept_by(wallet)]).values()
        want.albums |= {one.album for one in roles if isinstance(one, ev.AlbumCreated)}
        want.sets |= {one.keeper_set for one in roles if isinstance(one, ev.KeeperSetProposed)}
        # What it left undone as a keeper.
        want.grants |= _grants(store.named(links.grants_through(number) for number in want.sets).values())
    found = cut(store, want)
    # Which request used a key first is a question over all grants.
    asked = (links.request_key(one.request_key) for one in found if isinstance(one, ev.AccessRequested))
    others = {one.grant_id for one in store.named(asked).values() if isinstance(one, ev.AccessRequested)}
    if others - {one.grant_id for one in found if isinstance(one, ev.GrantCreated)}:
        want.grants |= others
        found = cut(store, want)
    return found


def _captures(store: Store, text: str) -> list[ev.Event]:
    """Registrations of captures that `text` may name."""
    try:
        found: Iterable[ev.Event] = store.named([links.content(digest_of_cid(text))]).values()
    except FormatError:
        found = store.beginning(b"U", text.removeprefix("0x").lower(), _MOST)
    return list(found)


def _take(index: Index, text: str, lists: Callable[[], Lists], progress: Progress | None) -> None:
    """Take lists that are new, and where nothing is found without them, those that were missing some time ago."""
    if not index.lists.unknown():
        return
    given = lists()
    index.lists.take(given, progress=progress)
    if not _listed(index.lists, text) and not _captures(index.store, text):
        index.lists.take(given, older=AGAIN, progress=progress)


def _listed(lists: ListIndex, text: str) -> list[Listed]:
    """Captures of batches that `text` may name."""
    try:
        digest = digest_of_cid(text)
    except FormatError:
        return lists.find(prefix=text.removeprefix("0x").lower(), limit=_MOST)
    return lists.find(digest=digest, limit=_MOST)


def _grants(events: Iterable[ev.Event]) -> set[bytes]:
    return {event.grant_id for event in events if isinstance(event, ev.GrantCreated)}


def _counts(store: Store) -> Counts:
    return Counts(
        events=store.total(),
        albums=store.count(ev.AlbumCreated),
        captures=store.count(ev.CaptureRegistered),
        batches=store.count(ev.CapturesRegistered),
        grants=store.count(ev.GrantCreated),
        opened=store.count(ev.GrantOpened),
        direct=store.facts("direct"),
        revoked=store.count(ev.GrantRevoked),
        alone=store.facts("alone"),
    )
