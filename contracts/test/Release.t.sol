// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IKeyRegistry} from "../src/IKeyRegistry.sol";
import {World} from "./support/World.sol";
import {Vm} from "./support/Vm.sol";

/// @dev Request, commit, deliver.
contract ReleaseTest is World {
    function _request(bytes32 id, bytes memory key) internal pure returns (bytes memory) {
        return abi.encodeCall(IKeyRegistry.requestAccess, (id, key));
    }

    function _commit(bytes32 id, uint8 seq, uint8 index, bytes32 digest)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(IKeyRegistry.commitRelease, (id, seq, index, digest));
    }

    function _deliver(
        bytes32 id,
        uint8 seq,
        uint8 index,
        bytes32 previous,
        bytes32[] memory later,
        bytes memory share
    ) internal pure returns (bytes memory) {
        return abi.encodeCall(IKeyRegistry.deliver, (id, seq, index, previous, later, share));
    }

    // ------------------------------------------------------------------ request

    function testFuzz_requestAccess_NoSuchGrant(address who, bytes32 id, bytes memory key) public {
        granted(1, 1);
        vm.assume(id != grantOf(albumOf(owner, "album"), "grant"));
        refuses(who, _request(id, key), abi.encodeWithSelector(IKeyRegistry.NoSuchGrant.selector, id));
    }

    function testFuzz_requestAccess_GrantIsRevoked(bytes memory key, uint32 later, bool opened) public {
        (bytes32 album, bytes32 id) = granted(1, 1);
        if (opened) commit(id, ask(id), 0, "share");
        withdraw(album, "grant");
        vm.warp(START + later);
        refuses(
            recipient, _request(id, key), abi.encodeWithSelector(IKeyRegistry.GrantIsRevoked.selector, id)
        );
    }

    function testFuzz_requestAccess_GrantIsExpired(bytes memory key, uint256 time, bool opened) public {
        (, bytes32 id) = granted(1, 1);
        if (opened) commit(id, ask(id), 0, "share");
        vm.warp(time % 4 == 0 ? EXPIRY : bound(time, EXPIRY, type(uint64).max));
        refuses(
            recipient,
            _request(id, key),
            abi.encodeWithSelector(IKeyRegistry.GrantIsExpired.selector, id, EXPIRY)
        );
    }

    function testFuzz_requestAccess_NotRecipient(address who, bytes memory key) public {
        vm.assume(who != recipient);
        (, bytes32 id) = granted(1, 1);
        refuses(who, _request(id, key), abi.encodeWithSelector(IKeyRegistry.NotRecipient.selector, id, who));
    }

    /// @dev Neither the owner nor a keeper can ask in the recipient's place.
    function test_requestAccess_NotRecipient_roles() public {
        (, bytes32 id) = granted(1, 1);
        bytes4 reason = IKeyRegistry.NotRecipient.selector;
        refuses(owner, _request(id, "key"), abi.encodeWithSelector(reason, id, owner));
        refuses(keeperAt(0), _request(id, "key"), abi.encodeWithSelector(reason, id, keeperAt(0)));
    }

    function testFuzz_requestAccess_GrantIsDirect(bytes32 salt, bytes memory key) public {
        (bytes32 album,) = ready(1, 1);
        bytes32 id = addGrant(album, salt, 0);
        refuses(recipient, _request(id, key), abi.encodeWithSelector(IKeyRegistry.GrantIsDirect.selector, id));
    }

    function testFuzz_requestAccess_TooManyRequests(bytes memory key) public {
        (, bytes32 id) = granted(1, 1);
        for (uint256 i = 1; i <= 255; ++i) {
            checkEq(ask(id), i, "seq");
        }
        refuses(
            recipient, _request(id, key), abi.encodeWithSelector(IKeyRegistry.TooManyRequests.selector, id)
        );
        // the last request is answered as any other, and its share delivered
        bytes32 head = registry.grantState(id).head;
        commit(id, 255, 0, "share");
        logsOf(stranger, _deliver(id, 255, 0, head, new bytes32[](0), "share"));
        refuses(
            recipient, _request(id, key), abi.encodeWithSelector(IKeyRegistry.TooManyRequests.selector, id)
        );
    }

    function testFuzz_requestAccess(bytes memory key, uint8 before) public {
        (, bytes32 id) = granted(1, 1);
        uint256 count = bound(before, 0, 9);
        for (uint256 i = 0; i < count; ++i) {
            ask(id);
        }
        IKeyRegistry.GrantView memory state = registry.grantState(id);
        Vm.Log[] memory logs = logsOf(recipient, _request(id, key));
        checkEq(logs.length, 1, "events");
        checkLog(
            logs[0], topicsOf(IKeyRegistry.AccessRequested.selector, id, bytes32(count + 1)), abi.encode(key)
        );
        // casting is safe: count is at most 9
        // forge-lint: disable-next-line(unsafe-typecast)
        state.seq = uint8(count + 1);
        checkEq(abi.encode(registry.grantState(id)), abi.encode(state), "state of the grant");
    }

    /// @dev The second before expiry is the last one, for a request and for its commit.
    function test_requestAndCommit_beforeExpiry() public {
        (, bytes32 id) = granted(1, 1);
        vm.warp(EXPIRY - 1);
        commit(id, ask(id), 0, "share");
        vm.warp(EXPIRY);
        refuses(
            keeperAt(0),
            _commit(id, 1, 0, "digest"),
            abi.encodeWithSelector(IKeyRegistry.GrantIsExpired.selector, id, EXPIRY)
        );
    }

    // ------------------------------------------------------------------ commit: reverts

    function testFuzz_commitRelease_NoSuchGrant(address who, bytes32 id, uint8 seq, uint8 index, bytes32 d)
        public
    {
        granted(1, 1);
        vm.assume(id != grantOf(albumOf(owner, "album"), "grant"));
        refuses(
            who, _commit(id, seq, index, d), abi.encodeWithSelector(IKeyRegistry.NoSuchGrant.selector, id)
        );
    }

    /// @dev Revocation between the request and any of the commits, opened before or not.
    function testFuzz_commitRelease_GrantIsRevoked(uint8 count, uint8 threshold, uint8 commits, bytes32 d)
        public
    {
        count = uint8(bound(count, 1, 8));
        threshold = uint8(bound(threshold, 1, count));
        commits = uint8(bound(commits, 0, count - 1));
        (bytes32 album, bytes32 id) = granted(count, threshold);
        ask(id);
        for (uint256 i = 0; i < commits; ++i) {
            commit(id, 1, i, "share");
        }
        withdraw(album, "grant");
        for (uint8 i = 0; i < count; ++i) {
            refuses(
                keeperAt(i),
                _commit(id, 1, i, d),
                abi.encodeWithSelector(IKeyRegistry.GrantIsRevoked.selector, id)
            );
        }
        checkEq(registry.grantState(id).released, (1 << commits) - 1, "released");
    }

    function testFuzz_commitRelease_GrantIsExpired(uint256 time, bytes32 d) public {
        (, bytes32 id) = granted(1, 1);
        ask(id);
        vm.warp(time % 4 == 0 ? EXPIRY : bound(time, EXPIRY, type(uint64).max));
        refuses(
            keeperAt(0),
            _commit(id, 1, 0, d),
            abi.encodeWithSelector(IKeyRegistry.GrantIsExpired.selector, id, EXPIRY)
        );
    }

    /// @dev Anyone at any index, a member at another's, and an index that the set does not have.
    function testFuzz_commitRelease_NotKeeper(address who, uint8 index, uint8 count, bytes32 d) public {
        count = uint8(bound(count, 1, 8));
        (bytes32 album, bytes32 id) = granted(count, 1);
        (,, uint32 set,) = registry.album(album);
        ask(id);
        bytes memory reason = abi.encodeWithSelector(IKeyRegistry.NotKeeper.selector, set, who);
        if (index >= count || who != keeperAt(index)) refuses(who, _commit(id, 1, index, d), reason);
        address member = keeperAt(bound(uint256(d), 0, count - 1));
        if (index < count && member == keeperAt(index)) return;
        reason = abi.encodeWithSelector(IKeyRegistry.NotKeeper.selector, set, member);
        refuses(member, _commit(id, 1, index, d), reason);
    }

    /// @dev Clients simulate calls from the zero address: it is no keeper either, at any index.
    function testFuzz_commitRelease_NotKeeper_zero(uint8 index, bool direct) public {
        (bytes32 album, uint32 set) = ready(1, 1);
        if (direct) set = 0;
        bytes32 id = addGrant(album, "grant", set);
        if (!direct) ask(id);
        refuses(
            address(0),
            _commit(id, 1, index, "digest"),
            abi.encodeWithSelector(IKeyRegistry.NotKeeper.selector, set, address(0))
        );
    }

    /// @dev A keeper of the album's new set has no part in grants that pinned the old one.
    function test_commitRelease_NotKeeper_ofTheNextSet() public {
        (bytes32 album, bytes32 id) = granted(1, 1);
        address[] memory keepers = new address[](1);
        keepers[0] = stranger;
        vm.prank(owner);
        uint32 next = registry.proposeKeepers(album, keepers, 1);
        acceptAll(next);
        ask(id);
        refuses(
            stranger,
            _commit(id, 1, 0, "digest"),
            abi.encodeWithSelector(IKeyRegistry.NotKeeper.selector, next - 1, stranger)
        );
        commit(id, 1, 0, "share");
    }

    function testFuzz_commitRelease_NotKeeper_direct(address who, uint8 seq, uint8 index, bytes32 d) public {
        (bytes32 album,) = ready(1, 1);
        bytes32 id = addGrant(album, "grant", 0);
        bytes4 reason = IKeyRegistry.NotKeeper.selector;
        refuses(who, _commit(id, seq, index, d), abi.encodeWithSelector(reason, 0, who));
        refuses(keeperAt(0), _commit(id, seq, 0, d), abi.encodeWithSelector(reason, 0, keeperAt(0)));
    }

    /// @dev No request yet (seq 0 included), one of the past, or one to come.
    function testFuzz_commitRelease_StaleRequest(uint8 requests, uint8 seq, bytes32 d) public {
        uint8 current = uint8(bound(requests, 0, 5));
        vm.assume(seq != current || seq == 0);
        (, bytes32 id) = granted(1, 1);
        for (uint256 i = 0; i < current; ++i) {
            ask(id);
        }
        refuses(
            keeperAt(0),
            _commit(id, seq, 0, d),
            abi.encodeWithSelector(IKeyRegistry.StaleRequest.selector, id, seq, current)
        );
        refuses(
            keeperAt(0),
            _commit(id, 0, 0, d),
            abi.encodeWithSelector(IKeyRegistry.StaleRequest.selector, id, 0, current)
        );
    }

    function testFuzz_commitRelease_AlreadyCommitted(uint8 count, uint8 threshold, uint8 index, bytes32 d)
        public
    {
        count = uint8(bound(count, 1, 8));
        index = uint8(bound(index, 0, count - 1));
        (, bytes32 id) = granted(count, uint8(bound(threshold, 1, count)));
        ask(id);
        commit(id, 1, index, "share");
        refuses(
            keeperAt(index),
            _commit(id, 1, index, d),
            abi.encodeWithSelector(IKeyRegistry.AlreadyCommitted.selector, id, 1, index)
        );
    }

    // ------------------------------------------------------------------ commit: life

    /// @dev In any order: each commit is logged and chained, the `threshold`-th alone opens.
    function testFuzz_commitRelease(uint8 count, uint8 threshold, uint8 first, bytes32 d) public {
        count = uint8(bound(count, 1, 8));
        threshold = uint8(bound(threshold, 1, count));
        (, bytes32 id) = granted(count, threshold);
        ask(id);
        IKeyRegistry.GrantView memory state = registry.grantState(id);
        for (uint256 i = 1; i <= count; ++i) {
            // casting is safe: it is below eight
            // forge-lint: disable-next-line(unsafe-typecast)
            uint8 index = uint8((uint256(first) + i) % count);
            d = keccak256(abi.encode(d));
            Vm.Log[] memory logs = logsOf(keeperAt(index), _commit(id, 1, index, d));
            checkEq(logs.length, i == threshold ? 2 : 1, "events");
            checkLog(
                logs[0],
                topicsOf(
                    IKeyRegistry.ReleaseCommitted.selector, id, bytes32(uint256(1)), bytes32(uint256(index))
                ),
                abi.encode(d)
            );
            if (i == threshold) checkLog(logs[1], topicsOf(IKeyRegistry.GrantOpened.selector, id), "");
            // forge-lint: disable-next-line(unsafe-typecast)
            state.released |= uint8(1 << index);
            state.head = chained(state.head, leafOf(1, index, d));
            state.opened = i >= threshold;
            if (state.opened) state.status = IKeyRegistry.GrantStatus.Opened;
            checkEq(abi.encode(registry.grantState(id)), abi.encode(state), "state of the grant");
        }
        checkEq(state.released, (1 << count) - 1, "released");
    }

    /// @dev Distinct keepers count over all requests: one keeper answering twice is still one.
    function test_commitRelease_countsKeepersOverRequests() public {
        (, bytes32 id) = granted(3, 2);
        for (uint8 seq = 1; seq <= 5; ++seq) {
            ask(id);
            commit(id, seq, 2, "share");
            check(!registry.grantState(id).opened, "one keeper opened a grant of two");
        }
        ask(id);
        commit(id, 6, 0, "share");
        check(registry.grantState(id).opened, "two keepers did not open it");
        checkEq(registry.grantState(id).released, 5, "released");
        ask(id);
        Vm.Log[] memory logs = logsOf(keeperAt(1), _commit(id, 7, 1, "digest"));
        checkEq(logs.length, 1, "opened twice");
    }

    /// @dev A grant keeps the set it pinned, also when the album has gone on to another.
    function testFuzz_commitRelease_bySupersededSet(uint8 count, uint8 threshold) public {
        count = uint8(bound(count, 1, 8));
        threshold = uint8(bound(threshold, 1, count));
        (bytes32 album, bytes32 id) = granted(count, threshold);
        (,, uint32 pinned,) = registry.album(album);
        vm.prank(owner);
        acceptAll(registry.proposeKeepers(album, keepersOf(1), 1));
        ask(id);
        for (uint256 i = 0; i < threshold; ++i) {
            check(!registry.grantState(id).opened, "opened too early");
            commit(id, 1, i, "share");
        }
        check(registry.grantState(id).opened, "not opened");
        checkEq(registry.grantState(id).keeperSet, pinned, "keeper set");
    }

    // ------------------------------------------------------------------ deliver

    function testFuzz_deliver_NotCommitted_noGrant(
        address who,
        bytes32 id,
        uint8 seq,
        uint8 index,
        bytes32 previous,
        bytes32[] memory later,
        bytes memory share
    ) public {
        bytes32 head = chained(previous, leafOf(seq, index, keccak256(share)));
        for (uint256 i = 0; i < later.length; ++i) {
            head = chained(head, later[i]);
        }
        refuses(
            who,
            _deliver(id, seq, index, previous, later, share),
            abi.encodeWithSelector(IKeyRegistry.NotCommitted.selector, id, head)
        );
    }

    /// @dev Before any commit, from the right head with any bytes.
    function testFuzz_deliver_NotCommitted_before(bytes memory share) public {
        (, bytes32 id) = granted(1, 1);
        ask(id);
        bytes32 previous = registry.grantState(id).head;
        refuses(
            keeperAt(0),
            _deliver(id, 1, 0, previous, new bytes32[](0), share),
            abi.encodeWithSelector(
                IKeyRegistry.NotCommitted.selector, id, chained(previous, leafOf(1, 0, keccak256(share)))
            )
        );
    }

    /// @dev One thing wrong at a time: bytes, seq, index, previous head, a leaf too many, another grant.
    function testFuzz_deliver_NotCommitted(
        bytes memory share,
        bytes memory other,
        bytes32 wrong,
        uint8 change
    ) public {
        vm.assume(keccak256(share) != keccak256(other) && change != 0);
        (bytes32 album, bytes32 id) = granted(2, 1);
        bytes32 second = addGrant(album, "second", 1);
        ask(id);
        bytes32 head = registry.grantState(id).head;
        vm.assume(wrong != head);
        commit(id, 1, 0, share);
        _notCommitted(Delivery(id, 1, 0, head, new bytes32[](0), other));
        _notCommitted(Delivery(id, 1 ^ change, 0, head, new bytes32[](0), share));
        _notCommitted(Delivery(id, 1, change, head, new bytes32[](0), share));
        _notCommitted(Delivery(id, 1, 0, wrong, new bytes32[](0), share));
        _notCommitted(Delivery(second, 1, 0, head, new bytes32[](0), share));
        bytes32[] memory one = new bytes32[](1);
        one[0] = wrong;
        _notCommitted(Delivery(id, 1, 0, head, one, share));
        logsOf(stranger, _deliver(Delivery(id, 1, 0, head, new bytes32[](0), share)));
    }

    struct Delivery {
        bytes32 id;
        uint8 seq;
        uint8 index;
        bytes32 previous;
        bytes32[] later;
        bytes share;
    }

    function _deliver(Delivery memory d) internal pure returns (bytes memory) {
        return _deliver(d.id, d.seq, d.index, d.previous, d.later, d.share);
    }

    /// @dev Two requests of a new grant, answered by all of `count` keepers, and what delivers the commit `pick`.
    function _committed(uint256 count, uint256 pick, bytes32 seed) internal returns (Delivery memory d) {
        // forge-lint: disable-next-line(unsafe-typecast)
        (, d.id) = granted(uint8(count), 1);
        d.later = new bytes32[](2 * count - 1 - pick);
        for (uint256 i = 0; i < 2 * count; ++i) {
            if (i % count == 0) ask(d.id);
            bytes memory share = stream(keccak256(abi.encode(seed, i)), 82);
            // casting is safe: there are at most two requests to eight keepers
            // forge-lint: disable-next-line(unsafe-typecast)
            (uint8 seq, uint8 index) = (uint8(i / count + 1), uint8(i % count));
            if (i == pick) {
                (d.seq, d.index, d.previous, d.share) = (seq, index, registry.grantState(d.id).head, share);
            }
            if (i > pick) d.later[i - pick - 1] = leafOf(seq, index, keccak256(share));
            commit(d.id, seq, index, share);
        }
    }

    function _headOf(Delivery memory d) internal pure returns (bytes32 head) {
        head = chained(d.previous, leafOf(d.seq, d.index, keccak256(d.share)));
        for (uint256 i = 0; i < d.later.length; ++i) {
            head = chained(head, d.later[i]);
        }
    }

    function _notCommitted(Delivery memory d) internal {
        refuses(
            keeperAt(0),
            _deliver(d),
            abi.encodeWithSelector(IKeyRegistry.NotCommitted.selector, d.id, _headOf(d))
        );
    }

    /// @dev Any commit of many, over several requests, is delivered with the leaves after it, by anyone; leaving them
    ///      out or swapping two fails. It changes nothing, so it can be repeated.
    function testFuzz_deliver(address who, uint8 count, uint8 chosen, bytes32 seed) public {
        uint256 keepers = bound(count, 1, 8);
        Delivery memory d = _committed(keepers, bound(chosen, 0, 2 * keepers - 1), seed);
        Vm.Log[] memory logs = logsOf(who, _deliver(d));
        checkEq(logs.length, 1, "events");
        checkLog(
            logs[0],
            topicsOf(
                IKeyRegistry.ShareDelivered.selector, d.id, bytes32(uint256(d.seq)), bytes32(uint256(d.index))
            ),
            abi.encode(d.share)
        );
        (bool ok,, bool changed) = attempt(who, _deliver(d));
        check(ok && !changed, "delivering changed the state");
        if (d.later.length < 2) return;
        (d.later[0], d.later[1]) = (d.later[1], d.later[0]);
        _notCommitted(d);
        d.later = new bytes32[](0);
        _notCommitted(d);
    }

    /// @dev What was committed in time can be delivered after revocation, expiry and newer requests.
    function testFuzz_deliver_later(bool revoked, bool expired, bool superseded, bytes memory share) public {
        (bytes32 album, bytes32 id) = granted(2, 2);
        ask(id);
        bytes32 head = registry.grantState(id).head;
        commit(id, 1, 1, share);
        if (superseded) ask(id);
        if (revoked) withdraw(album, "grant");
        if (expired) vm.warp(EXPIRY);
        Vm.Log[] memory logs = logsOf(keeperAt(1), _deliver(id, 1, 1, head, new bytes32[](0), share));
        checkLog(
            logs[0],
            topicsOf(IKeyRegistry.ShareDelivered.selector, id, bytes32(uint256(1)), bytes32(uint256(1))),
            abi.encode(share)
        );
    }
}
