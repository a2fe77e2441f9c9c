// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IKeyRegistry} from "../src/IKeyRegistry.sol";
import {World} from "./support/World.sol";
import {Vm} from "./support/Vm.sol";

contract BatchesTest is World {
    function _grantBatch(IKeyRegistry.GrantParams[] memory grants) internal pure returns (bytes memory) {
        return abi.encodeCall(IKeyRegistry.grantBatch, (grants));
    }

    function _some(bytes32 album, uint32 set, uint256 count)
        internal
        view
        returns (IKeyRegistry.GrantParams[] memory)
    {
        return manyOf(album, set, saltsOf(bound(count, 1, 12)));
    }

    // ------------------------------------------------------------------ grantBatch: reverts

    function testFuzz_grantBatch_EmptyBatch(address who) public {
        ready(1, 1);
        refuses(
            who,
            _grantBatch(new IKeyRegistry.GrantParams[](0)),
            abi.encodeWithSelector(IKeyRegistry.EmptyBatch.selector)
        );
    }

    function testFuzz_grantBatch_NoSuchAlbum(address who, bytes32 album, uint8 count) public {
        ready(1, 1);
        vm.assume(album != albumOf(owner, "album"));
        refuses(
            who,
            _grantBatch(_some(album, 1, count)),
            abi.encodeWithSelector(IKeyRegistry.NoSuchAlbum.selector, album)
        );
    }

    function testFuzz_grantBatch_NotAlbumOwner(address who, uint8 count) public {
        vm.assume(who != owner);
        (bytes32 album, uint32 set) = ready(1, 1);
        refuses(
            who,
            _grantBatch(_some(album, set, count)),
            abi.encodeWithSelector(IKeyRegistry.NotAlbumOwner.selector, album, who)
        );
    }

    /// @dev Another album of the same owner is another batch.
    function testFuzz_grantBatch_MixedAlbums(uint8 count, uint256 place, bool exists) public {
        (bytes32 album, uint32 set) = ready(1, 1);
        bytes32 other = albumOf(owner, "other");
        if (exists) addAlbum(owner, "other", 1, 1);
        IKeyRegistry.GrantParams[] memory grants = _some(album, set, bound(count, 2, 12));
        grants[bound(place, 1, grants.length - 1)].album = other;
        refuses(
            owner,
            _grantBatch(grants),
            abi.encodeWithSelector(IKeyRegistry.MixedAlbums.selector, album, other)
        );
    }

    function testFuzz_grantBatch_GrantExists(uint8 count, uint256 place, bool inBatch) public {
        (bytes32 album, uint32 set) = ready(1, 1);
        IKeyRegistry.GrantParams[] memory grants = _some(album, set, bound(count, 2, 12));
        place = bound(place, 1, grants.length - 1);
        if (inBatch) grants[place].salt = grants[place - 1].salt;
        else addGrant(album, grants[place].salt, set);
        refuses(
            owner,
            _grantBatch(grants),
            abi.encodeWithSelector(IKeyRegistry.GrantExists.selector, grantOf(album, grants[place].salt))
        );
    }

    /// @dev What refuses a grant refuses the batch that it is in, wherever it stands.
    function testFuzz_grantBatch_refusesAsGrantDoes(uint8 count, uint256 place, uint8 flaw) public {
        (bytes32 album, uint32 set) = ready(1, 1);
        IKeyRegistry.GrantParams[] memory grants = _some(album, set, count);
        IKeyRegistry.GrantParams memory p = grants[bound(place, 0, grants.length - 1)];
        bytes memory expected;
        flaw %= 5;
        if (flaw == 0) {
            p.recipient = address(0);
            expected = abi.encodeWithSelector(IKeyRegistry.ZeroAddress.selector);
        } else if (flaw == 1) {
            p.scopeCommit = 0;
            expected = abi.encodeWithSelector(IKeyRegistry.ZeroCommit.selector);
        } else if (flaw == 2) {
            p.keeperSet = set + 1;
            expected = abi.encodeWithSelector(IKeyRegistry.NotCurrentKeeperSet.selector, set + 1, set);
        } else if (flaw == 3) {
            p.expiry = 1_800_000_000; // START
            expected = abi.encodeWithSelector(IKeyRegistry.ExpiryPassed.selector, START);
        } else {
            p.keyVersion = 2;
            expected = abi.encodeWithSelector(IKeyRegistry.StaleKey.selector, recipient, 2, 0);
        }
        refuses(owner, _grantBatch(grants), expected);
    }

    // ------------------------------------------------------------------ grantBatch: life

    /// @dev To any recipients and suites, direct ones among them; the batch is of the keeper set of its time.
    function testFuzz_grantBatch(uint8 count, uint256 direct, uint256 xwing, uint8 before) public {
        (bytes32 album, uint32 set) = ready(2, 1);
        before %= 3;
        for (uint256 i = 0; i < before; ++i) {
            addBatch(album, set, _single(keccak256(abi.encode(i))));
        }
        IKeyRegistry.GrantParams[] memory grants = _some(album, set, count);
        uint8[] memory suites = new uint8[](grants.length);
        for (uint256 i = 0; i < grants.length; ++i) {
            suites[i] = xwing >> i & 1 == 1 ? 2 : 1;
            grants[i].recipient = actor(string(abi.encode("recipient", i)));
            grants[i].keyVersion = addKey(grants[i].recipient, suites[i], bytes32(i));
            if (direct >> i & 1 == 1) grants[i].keeperSet = 0;
            if (i % 3 == 0) grants[i].expiry = 0;
        }
        vm.recordLogs();
        vm.prank(owner);
        bytes32[] memory ids = registry.grantBatch(grants);
        _checkBatch(grants, suites, ids, before + 1);
    }

    function _checkBatch(
        IKeyRegistry.GrantParams[] memory grants,
        uint8[] memory suites,
        bytes32[] memory ids,
        uint32 batch
    ) internal {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        checkEq(logs.length, grants.length + 1, "events");
        checkEq(ids.length, grants.length, "ids");
        bytes memory heads;
        for (uint256 i = 0; i < grants.length; ++i) {
            _checkCreated(logs[i], grants[i], suites[i], ids[i]);
            heads = bytes.concat(heads, headOf(grants[i], suites[i]));
        }
        for (uint256 i = 0; i < grants.length; ++i) {
            _checkGranted(ids[i], grants[i], keccak256(heads), batch);
        }
        checkLog(
            logs[grants.length],
            topicsOf(IKeyRegistry.GrantsBatched.selector, grants[0].album, bytes32(uint256(batch))),
            abi.encode(keccak256(heads), ids)
        );
    }

    function _checkCreated(Vm.Log memory log, IKeyRegistry.GrantParams memory p, uint8 suite, bytes32 id)
        internal
        view
    {
        checkEq(id, grantOf(p.album, p.salt), "id");
        checkLog(
            log,
            topicsOf(IKeyRegistry.GrantCreated.selector, id, p.album, word(p.recipient)),
            abi.encode(p.scopeCommit, p.keyVersion, p.expiry, p.keeperSet, suite, p.payload)
        );
    }

    function _single(bytes32 salt) internal pure returns (bytes32[] memory salts) {
        salts = new bytes32[](1);
        salts[0] = salt;
    }

    function _checkGranted(bytes32 id, IKeyRegistry.GrantParams memory p, bytes32 head, uint32 batch)
        internal
        view
    {
        bool direct = p.keeperSet == 0;
        IKeyRegistry.GrantView memory expected = IKeyRegistry.GrantView({
            status: direct ? IKeyRegistry.GrantStatus.Opened : IKeyRegistry.GrantStatus.Live,
            recipient: p.recipient,
            expiry: p.expiry,
            keeperSet: p.keeperSet,
            seq: 0,
            released: 0,
            opened: direct,
            revoked: false,
            head: head,
            batch: batch
        });
        checkEq(abi.encode(registry.grantState(id)), abi.encode(expected), "state of the grant");
    }

    /// @dev Albums of two owners share the count of batches and nothing else.
    function test_grantBatch_ofTwoOwners() public {
        (bytes32 album, uint32 set) = ready(1, 1);
        addBatch(album, set, saltsOf(2));
        (bytes32 other, uint32 foreign) = addAlbum(stranger, "album", 1, 1);
        acceptAll(foreign);
        vm.prank(stranger);
        bytes32[] memory ids = registry.grantBatch(manyOf(other, foreign, saltsOf(2)));
        checkEq(registry.grantState(ids[0]).batch, 2, "batch");
        checkEq(registry.grantState(ids[0]).keeperSet, foreign, "keeper set");
        checkEq(registry.grantState(grantOf(album, saltsOf(2)[0])).keeperSet, set, "keeper set of the first");
    }

    // ------------------------------------------------------------------ release of batched grants

    /// @dev Each grant of a batch has a chain of its own from the batch's head on; deliveries prove against it, in any
    ///      order, and those of one grant prove nothing for another.
    function testFuzz_batchedRelease(uint8 count, uint8 keepers, uint256 order) public {
        keepers = uint8(bound(keepers, 1, 8));
        (bytes32 album, uint32 set) = ready(keepers, keepers);
        bytes32[] memory salts = saltsOf(bound(count, 2, 5));
        bytes32[] memory ids = addBatch(album, set, salts);
        bytes32 genesis = batchHeadOf(manyOf(album, set, salts), 1);
        for (uint256 i = 0; i < ids.length; ++i) {
            checkEq(registry.grantState(ids[i]).head, genesis, "head before");
            ask(ids[i]);
            checkEq(registry.grantState(ids[i]).head, genesis, "head after a request");
        }
        for (uint256 i = 0; i < ids.length; ++i) {
            _releaseAll(ids[i], genesis, keepers, order >> i * 16);
        }
        // the last one's first delivery, for the one before it
        bytes memory share = abi.encode(ids[ids.length - 1], uint256(0));
        bytes32 head = chained(genesis, leafOf(1, 0, keccak256(share)));
        refuses(
            stranger,
            abi.encodeCall(
                IKeyRegistry.deliver, (ids[ids.length - 2], 1, 0, genesis, new bytes32[](0), share)
            ),
            abi.encodeWithSelector(IKeyRegistry.NotCommitted.selector, ids[ids.length - 2], head)
        );
    }

    function _releaseAll(bytes32 id, bytes32 genesis, uint256 keepers, uint256 order) internal {
        bytes32[] memory heads = new bytes32[](keepers + 1);
        bytes32[] memory leaves = new bytes32[](keepers);
        heads[0] = genesis;
        for (uint256 i = 0; i < keepers; ++i) {
            commit(id, 1, i, abi.encode(id, i));
            // casting is safe: there are at most eight keepers
            // forge-lint: disable-next-line(unsafe-typecast)
            leaves[i] = leafOf(1, uint8(i), keccak256(abi.encode(id, i)));
            heads[i + 1] = chained(heads[i], leaves[i]);
            checkEq(registry.grantState(id).head, heads[i + 1], "head");
            check(registry.grantState(id).opened == (i + 1 == keepers), "opened");
        }
        for (uint256 k = 0; k < keepers; ++k) {
            uint256 i = (order % keepers + k) % keepers;
            bytes32[] memory later = new bytes32[](keepers - 1 - i);
            for (uint256 j = 0; j < later.length; ++j) {
                later[j] = leaves[i + 1 + j];
            }
            // forge-lint: disable-next-line(unsafe-typecast)
            registry.deliver(id, 1, uint8(i), heads[i], later, abi.encode(id, i));
        }
    }

    /// @dev A batch of two has a head of the form of a link: still nothing that was not committed can be delivered.
    function testFuzz_deliver_NotCommitted_toABatchsHead(bytes memory share, uint8 seq, uint8 index) public {
        (bytes32 id, bytes32 first, bytes32 second) = _two();
        bytes32 leaf = leafOf(seq, index, keccak256(share));
        bytes32[] memory later = new bytes32[](0);
        refuses(
            stranger,
            abi.encodeCall(IKeyRegistry.deliver, (id, seq, index, first, later, share)),
            abi.encodeWithSelector(IKeyRegistry.NotCommitted.selector, id, chained(first, leaf))
        );
        later = new bytes32[](1);
        later[0] = second;
        leaf = chained(chained(first, leaf), second);
        refuses(
            stranger,
            abi.encodeCall(IKeyRegistry.deliver, (id, seq, index, first, later, share)),
            abi.encodeWithSelector(IKeyRegistry.NotCommitted.selector, id, leaf)
        );
    }

    /// @dev A batch of two: the first grant, and the own heads of both.
    function _two() internal returns (bytes32 id, bytes32 first, bytes32 second) {
        (bytes32 album, uint32 set) = ready(1, 1);
        IKeyRegistry.GrantParams[] memory grants = manyOf(album, set, saltsOf(2));
        id = addBatch(album, set, saltsOf(2))[0];
        (first, second) = (headOf(grants[0], 1), headOf(grants[1], 1));
        checkEq(registry.grantState(id).head, chained(first, second), "the batch's head");
    }

    /// @dev A batch keeps its keeper set when the album has a new one.
    function testFuzz_batchKeepsItsKeepers(uint8 count) public {
        (bytes32 album, uint32 set) = ready(1, 1);
        bytes32[] memory ids = addBatch(album, set, saltsOf(bound(count, 1, 5)));
        address[] memory next = new address[](1);
        next[0] = keeperAt(7);
        vm.prank(owner);
        uint32 successor = registry.proposeKeepers(album, next, 1);
        acceptAll(successor);
        bytes32 id = ids[ids.length - 1];
        ask(id);
        refuses(
            keeperAt(7),
            abi.encodeCall(IKeyRegistry.commitRelease, (id, 1, 0, "digest")),
            abi.encodeWithSelector(IKeyRegistry.NotKeeper.selector, set, keeperAt(7))
        );
        commit(id, 1, 0, "share");
        checkEq(registry.grantState(id).keeperSet, set, "keeper set");
    }

    function test_directOfABatch() public {
        (bytes32 album, uint32 set) = ready(1, 1);
        IKeyRegistry.GrantParams[] memory grants = manyOf(album, set, saltsOf(2));
        grants[1].keeperSet = 0;
        vm.prank(owner);
        bytes32[] memory ids = registry.grantBatch(grants);
        refuses(
            recipient,
            abi.encodeCall(IKeyRegistry.requestAccess, (ids[1], bytes("request key"))),
            abi.encodeWithSelector(IKeyRegistry.GrantIsDirect.selector, ids[1])
        );
        refuses(
            keeperAt(0),
            abi.encodeCall(IKeyRegistry.commitRelease, (ids[1], 1, 0, "digest")),
            abi.encodeWithSelector(IKeyRegistry.NotKeeper.selector, 0, keeperAt(0))
        );
        // one that keepers have opened is not direct for that: it can be asked for again
        commit(ids[0], ask(ids[0]), 0, "share");
        checkEq(ask(ids[0]), 2, "second request");
    }

    // ------------------------------------------------------------------ revokeBatch

    function _revokeBatch(bytes32 album, bytes32[] memory salts) internal pure returns (bytes memory) {
        return abi.encodeCall(IKeyRegistry.revokeBatch, (album, salts));
    }

    function testFuzz_revokeBatch_NoSuchAlbum(address who, bytes32 album, uint8 count) public {
        refuses(
            who,
            _revokeBatch(album, saltsOf(count % 8)),
            abi.encodeWithSelector(IKeyRegistry.NoSuchAlbum.selector, album)
        );
    }

    function testFuzz_revokeBatch_NotAlbumOwner(address who, uint8 count) public {
        vm.assume(who != owner);
        (bytes32 album,) = granted(1, 1);
        refuses(
            who,
            _revokeBatch(album, saltsOf(count % 8)),
            abi.encodeWithSelector(IKeyRegistry.NotAlbumOwner.selector, album, who)
        );
    }

    function testFuzz_revokeBatch_NoSuchGrant(uint8 count, uint256 place) public {
        (bytes32 album, uint32 set) = ready(1, 1);
        bytes32[] memory salts = saltsOf(bound(count, 1, 12));
        addBatch(album, set, salts);
        place = bound(place, 0, salts.length - 1);
        salts[place] = "none";
        refuses(
            owner,
            _revokeBatch(album, salts),
            abi.encodeWithSelector(IKeyRegistry.NoSuchGrant.selector, grantOf(album, "none"))
        );
    }

    function testFuzz_revokeBatch_GrantIsRevoked(uint8 count, uint256 place, bool twice) public {
        (bytes32 album, uint32 set) = ready(1, 1);
        bytes32[] memory salts = saltsOf(bound(count, 2, 12));
        addBatch(album, set, salts);
        place = bound(place, 1, salts.length - 1);
        if (twice) salts[place] = salts[0];
        else withdraw(album, salts[place]);
        refuses(
            owner,
            _revokeBatch(album, salts),
            abi.encodeWithSelector(IKeyRegistry.GrantIsRevoked.selector, grantOf(album, salts[place]))
        );
    }

    /// @dev Batched or not; none where none is named.
    function testFuzz_revokeBatch(uint8 count, uint8 alone, uint8 opened) public {
        (bytes32 album, uint32 set) = ready(1, 1);
        bytes32[] memory salts = saltsOf(count % 12);
        for (uint256 i = 0; i < salts.length; ++i) {
            if (i < alone) addGrant(album, salts[i], set);
            else addBatch(album, set, _single(salts[i]));
            bytes32 id = grantOf(album, salts[i]);
            if (i < opened) commit(id, ask(id), 0, "share");
        }
        Vm.Log[] memory logs = logsOf(owner, _revokeBatch(album, salts));
        checkEq(logs.length, salts.length, "events");
        for (uint256 i = 0; i < salts.length; ++i) {
            bytes32 id = grantOf(album, salts[i]);
            checkLog(
                logs[i],
                topicsOf(IKeyRegistry.GrantRevoked.selector, id),
                abi.encode(i < opened, i < opened ? 1 : 0)
            );
            check(registry.grantState(id).revoked, "revoked");
        }
    }
}
