// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IKeyRegistry} from "../src/IKeyRegistry.sol";
import {World} from "./support/World.sol";

/// @dev The storage itself, which storage proofs read: docs/REGISTRY.md has the same layout.
contract PackingTest is World {
    uint256 internal constant KEY_COUNT = 1;
    uint256 internal constant ALBUMS = 3;
    uint256 internal constant KEEPER_SET_COUNT = 5;
    uint256 internal constant CAPTURES = 8;
    uint256 internal constant GRANTS = 9;
    uint256 internal constant BATCH_COUNT = 10;
    uint256 internal constant BATCHES = 11;
    uint256 internal constant CAPTURE_BATCHES = 12;
    uint256 internal constant NONCES = 13;
    uint32 internal constant MAX_SOURCE = (1 << 29) - 1;

    function _slot(bytes32 key, uint256 base) internal pure returns (bytes32) {
        return keccak256(abi.encode(key, base));
    }

    function _next(bytes32 slot) internal pure returns (bytes32) {
        return bytes32(uint256(slot) + 1);
    }

    function _load(bytes32 slot) internal view returns (uint256) {
        return uint256(vm.load(address(registry), slot));
    }

    function _setCount(uint256 count) internal {
        vm.store(address(registry), bytes32(KEEPER_SET_COUNT), bytes32(count));
    }

    struct Word {
        address recipient;
        uint40 expiry;
        bool batched;
        uint32 source;
        bool opened;
        bool revoked;
        uint8 seq;
        uint8 released;
        uint8 answered;
    }

    function _pack(Word memory w) internal pure returns (uint256 packed) {
        packed = uint256(uint160(w.recipient));
        packed = packed << 40 | w.expiry;
        packed = packed << 1 | (w.batched ? 1 : 0);
        packed = packed << 29 | w.source;
        packed = packed << 1 | (w.opened ? 1 : 0);
        packed = packed << 1 | (w.revoked ? 1 : 0);
        packed = packed << 8 | w.seq;
        packed = packed << 8 | w.released;
        packed = packed << 8 | w.answered;
    }

    /// @dev Any word is read as what it was packed from: no field reaches into another.
    function testFuzz_grantWord_read(Word memory w, bytes32 id, bytes32 head, uint32 set, bytes32 genesis)
        public
    {
        vm.assume(w.recipient != address(0));
        w.source = uint32(bound(w.source, w.batched ? 1 : 0, MAX_SOURCE));
        if (uint256(head) % 2 == 0) head = 0;
        vm.store(address(registry), _slot(id, GRANTS), bytes32(_pack(w)));
        vm.store(address(registry), _next(_slot(id, GRANTS)), head);
        if (w.batched) {
            bytes32 batch = _slot(bytes32(uint256(w.source)), BATCHES);
            vm.store(address(registry), batch, bytes32(uint256(set)));
            vm.store(address(registry), _next(batch), genesis);
            if (w.opened && w.released == 0) set = 0;
        } else {
            (set, genesis) = (w.source, 0);
        }
        IKeyRegistry.GrantStatus status =
            w.opened ? IKeyRegistry.GrantStatus.Opened : IKeyRegistry.GrantStatus.Live;
        if (w.expiry != 0 && w.expiry <= START) status = IKeyRegistry.GrantStatus.Expired;
        if (w.revoked) status = IKeyRegistry.GrantStatus.Revoked;
        IKeyRegistry.GrantView memory expected = IKeyRegistry.GrantView({
            status: status,
            recipient: w.recipient,
            expiry: w.expiry,
            keeperSet: set,
            seq: w.seq,
            released: w.released,
            opened: w.opened,
            revoked: w.revoked,
            head: head == 0 ? genesis : head,
            batch: w.batched ? w.source : 0
        });
        checkEq(abi.encode(registry.grantState(id)), abi.encode(expected), "state of the grant");
        bytes32[] memory ids = new bytes32[](1);
        ids[0] = id;
        checkEq(uint256(registry.openableBy(w.recipient, ids)[0]), uint256(status), "status");
    }

    /// @dev The extremes of every field at once: the highest keeper set, 255 requests, eight keepers, last expiry.
    function testFuzz_grantWord_written(address to, uint8 threshold, uint40 expiry, bool extreme) public {
        vm.assume(to != address(0));
        threshold = uint8(bound(threshold, 1, 8));
        expiry = extreme ? type(uint40).max : uint40(bound(expiry, START + 1, type(uint40).max));
        if (extreme) _setCount(MAX_SOURCE - 1);
        recipient = to;
        (bytes32 album, uint32 set) = ready(8, threshold);
        checkEq(set, extreme ? MAX_SOURCE : 1, "keeper set");
        IKeyRegistry.GrantParams memory params = paramsOf(album, "grant", set);
        params.expiry = expiry;
        bool batched = expiry % 2 == 0;
        if (batched && extreme) {
            vm.store(address(registry), bytes32(BATCH_COUNT), bytes32(uint256(MAX_SOURCE - 1)));
        }
        bytes32 id = _granted(params, batched);
        if (batched) {
            uint32 batch = extreme ? MAX_SOURCE : 1;
            _checkBatch(batch, set, params);
            set = batch;
        }
        Word memory w = Word(to, expiry, batched, set, false, false, 0, 0, 0);
        checkEq(_load(_slot(id, GRANTS)), _pack(w), "granted");
        for (w.seq = 1; w.seq < 255; ++w.seq) {
            ask(id);
        }
        ask(id);
        checkEq(_load(_slot(id, GRANTS)), _pack(w), "requested");
        checkEq(_load(_next(_slot(id, GRANTS))) == 0 ? 1 : 0, batched ? 1 : 0, "no head of its own");
        for (uint256 i = 0; i < 8; ++i) {
            commit(id, 255, i, "share");
            // casting is safe: it is below 256
            // forge-lint: disable-next-line(unsafe-typecast)
            (w.released, w.answered) = (uint8((2 << i) - 1), uint8((2 << i) - 1));
            w.opened = i + 1 >= threshold;
            checkEq(_load(_slot(id, GRANTS)), _pack(w), "committed");
        }
        withdraw(album, "grant");
        w.revoked = true;
        checkEq(_load(_slot(id, GRANTS)), _pack(w), "revoked");
        checkEq(registry.grantState(id).head, vm.load(address(registry), _next(_slot(id, GRANTS))), "head");
    }

    function _granted(IKeyRegistry.GrantParams memory params, bool batched) internal returns (bytes32) {
        vm.prank(owner);
        if (!batched) return registry.grant(params);
        IKeyRegistry.GrantParams[] memory grants = new IKeyRegistry.GrantParams[](1);
        grants[0] = params;
        return registry.grantBatch(grants)[0];
    }

    /// @dev The words of a batch of one grant.
    function _checkBatch(uint32 batch, uint32 set, IKeyRegistry.GrantParams memory params) internal view {
        bytes32 slot = _slot(bytes32(uint256(batch)), BATCHES);
        checkEq(_load(slot), set, "keeper set of the batch");
        checkEq(bytes32(_load(_next(slot))), keccak256(abi.encode(headOf(params, 1))), "head of the batch");
        checkEq(_load(bytes32(BATCH_COUNT)), batch, "count of batches");
    }

    /// @dev A newer request clears who has answered and keeps who has ever released.
    function test_grantWord_newRequest() public {
        (, bytes32 id) = granted(8, 8);
        ask(id);
        for (uint256 i = 0; i < 7; ++i) {
            commit(id, 1, i, "share");
        }
        ask(id);
        Word memory w = Word(recipient, EXPIRY, false, 1, false, false, 2, 0x7f, 0);
        checkEq(_load(_slot(id, GRANTS)), _pack(w), "requested again");
        commit(id, 2, 6, "share");
        w.answered = 0x40;
        checkEq(_load(_slot(id, GRANTS)), _pack(w), "committed again");
    }

    function testFuzz_keeperSetsRunOut(uint32 beyond, bool create) public {
        (bytes32 album,) = addAlbum(owner, "album", 1, 1);
        uint256 count = bound(beyond, MAX_SOURCE, type(uint32).max - 1);
        _setCount(count);
        refuses(
            owner,
            create
                ? abi.encodeCall(IKeyRegistry.createAlbum, ("next", "commit", keepersOf(1), 1))
                : abi.encodeCall(IKeyRegistry.proposeKeepers, (album, keepersOf(1), 1)),
            abi.encodeWithSelector(IKeyRegistry.NoSuchKeeperSet.selector, count + 1)
        );
    }

    function testFuzz_batchesRunOut(uint32 beyond, bool rotate) public {
        (bytes32 album, uint32 set) = ready(1, 1);
        uint256 count = bound(beyond, MAX_SOURCE, type(uint32).max - 1);
        vm.store(address(registry), bytes32(BATCH_COUNT), bytes32(count));
        IKeyRegistry.GrantParams[] memory grants = manyOf(album, set, saltsOf(2));
        refuses(
            owner,
            rotate
                ? abi.encodeCall(IKeyRegistry.rotate, (album, "commit", new bytes32[](0), grants))
                : abi.encodeCall(IKeyRegistry.grantBatch, (grants)),
            abi.encodeWithSelector(IKeyRegistry.BatchesExhausted.selector)
        );
        // grants by themselves, and a rotation without any, go on
        addGrant(album, "alone", set);
        vm.prank(owner);
        registry.rotate(album, "commit", new bytes32[](0), new IKeyRegistry.GrantParams[](0));
    }

    /// @dev One word, in which the list's digest is bound by 152 bits of its hash.
    function testFuzz_captureBatchWord(bytes32 root, bytes32 list, uint32 count, uint40 time) public {
        vm.assume(root != 0 && list != 0);
        count = uint32(bound(count, 1, 10_000));
        (bytes32 album,) = addAlbum(owner, "album", 1, 1);
        vm.warp(time);
        vm.prank(owner);
        registry.registerCaptures(album, root, list, count, 1);
        uint256 expected = uint256(time) << 216 | uint256(1) << 184 | uint256(count) << 152;
        expected |= uint256(keccak256(abi.encode(list))) >> 104;
        checkEq(_load(_slot(root, uint256(_slot(album, CAPTURE_BATCHES)))), expected, "word");
    }

    function testFuzz_noncesWord(address who, uint256 bucket, uint256 mask) public {
        vm.prank(who);
        registry.useNonces(bucket, mask);
        checkEq(_load(_slot(bytes32(bucket), uint256(_slot(word(who), NONCES)))), mask, "nonces");
    }

    function test_epochsRunOut() public {
        (bytes32 album,) = addAlbum(owner, "album", 1, 1);
        bytes32 slot = _slot(album, ALBUMS);
        checkEq(_load(slot), uint256(1) << 224 | uint256(1) << 192 | uint256(uint160(owner)), "album");
        vm.store(address(registry), slot, bytes32(_load(slot) | uint256(type(uint32).max) << 224));
        refuses(
            owner,
            abi.encodeCall(IKeyRegistry.openEpoch, (album, "commit")),
            abi.encodeWithSignature("Panic(uint256)", 0x11)
        );
        // the last epoch serves on
        vm.prank(owner);
        registry.registerCapture(album, "uid", "digest", "key", type(uint32).max, type(uint32).max);
        checkEq(
            _load(_slot("uid", uint256(_slot(album, CAPTURES)))),
            uint256(registry.captureHash(album, "uid")),
            "capture"
        );
    }

    /// @dev Versions are 32 bits; the 2^32-th key of a wallet is refused, none is overwritten.
    function test_keyVersionsRunOut() public {
        addKey(recipient, 1, "key");
        checkEq(_load(_slot(word(recipient), KEY_COUNT)), 1, "count of keys");
        vm.store(address(registry), _slot(word(recipient), KEY_COUNT), bytes32(uint256(type(uint32).max)));
        refuses(
            recipient,
            abi.encodeCall(IKeyRegistry.registerKey, (2, publicKey(2, "key"))),
            abi.encodeWithSignature("Panic(uint256)", 0x11)
        );
    }
}
