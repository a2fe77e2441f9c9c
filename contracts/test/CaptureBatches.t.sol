// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IKeyRegistry} from "../src/IKeyRegistry.sol";
import {World} from "./support/World.sol";
import {Vm} from "./support/Vm.sol";

contract CaptureBatchesTest is World {
    struct Capture {
        bytes32 uid;
        bytes32 digest;
        bytes32 keyCommit;
        uint32 slot;
    }

    function _register(bytes32 album, bytes32 root, bytes32 list, uint32 count, uint32 epoch)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(IKeyRegistry.registerCaptures, (album, root, list, count, epoch));
    }

    function _album(uint32 epochs) internal returns (bytes32 album) {
        (album,) = addAlbum(owner, "album", 1, 1);
        for (uint256 i = 1; i < epochs; ++i) {
            vm.prank(owner);
            registry.openEpoch(album, keccak256(abi.encode(i)));
        }
    }

    // ------------------------------------------------------------------ registerCaptures

    function testFuzz_registerCaptures_NoSuchAlbum(
        address who,
        bytes32 album,
        bytes32 root,
        bytes32 list,
        uint32 count,
        uint32 epoch
    ) public {
        refuses(
            who,
            _register(album, root, list, count, epoch),
            abi.encodeWithSelector(IKeyRegistry.NoSuchAlbum.selector, album)
        );
    }

    function testFuzz_registerCaptures_NotAlbumOwner(
        address who,
        bytes32 root,
        bytes32 list,
        uint32 count,
        uint32 epoch
    ) public {
        vm.assume(who != owner);
        bytes32 album = _album(1);
        refuses(
            who,
            _register(album, root, list, count, epoch),
            abi.encodeWithSelector(IKeyRegistry.NotAlbumOwner.selector, album, who)
        );
    }

    function testFuzz_registerCaptures_BadEpoch(uint8 epochs, uint32 epoch, uint32 count) public {
        uint32 current = uint32(bound(epochs, 1, 5));
        bytes32 album = _album(current);
        epoch = epoch % 4 == 0 ? 0 : uint32(bound(epoch, current + 1, type(uint32).max));
        refuses(
            owner,
            _register(album, "root", "list", count, epoch),
            abi.encodeWithSelector(IKeyRegistry.BadEpoch.selector, epoch, current)
        );
    }

    function testFuzz_registerCaptures_ZeroCommit(bytes32 other, uint8 which, uint32 count) public {
        bytes32 album = _album(1);
        (bytes32 root, bytes32 list) = which % 3 == 0 ? (bytes32(0), other) : (other, bytes32(0));
        if (which % 3 == 2) (root, list) = (0, 0);
        refuses(
            owner,
            _register(album, root, list, count, 1),
            abi.encodeWithSelector(IKeyRegistry.ZeroCommit.selector)
        );
    }

    function testFuzz_registerCaptures_BadCaptureCount(uint32 count) public {
        bytes32 album = _album(1);
        count = count % 8 == 0 ? 0 : uint32(bound(count, 10_001, type(uint32).max));
        refuses(
            owner,
            _register(album, "root", "list", count, 1),
            abi.encodeWithSelector(IKeyRegistry.BadCaptureCount.selector, count)
        );
    }

    function testFuzz_registerCaptures_CaptureBatchExists(bytes32 root, bytes32 list, uint32 count) public {
        vm.assume(root != 0 && list != 0);
        count = uint32(bound(count, 1, 10_000));
        bytes32 album = _album(2);
        logsOf(owner, _register(album, root, "list", 1, 1));
        refuses(
            owner,
            _register(album, root, list, count, 2),
            abi.encodeWithSelector(IKeyRegistry.CaptureBatchExists.selector, album, root)
        );
    }

    function testFuzz_registerCaptures(bytes32 root, bytes32 list, uint32 count, uint8 epoch, uint32 later)
        public
    {
        vm.assume(root != 0 && list != 0);
        count = uint32(bound(count, 1, 10_000));
        epoch = uint8(bound(epoch, 1, 4));
        bytes32 album = _album(4);
        (bytes32 foreign,) = addAlbum(stranger, "album", 1, 1);
        vm.warp(START + later);
        Vm.Log[] memory logs = logsOf(owner, _register(album, root, list, count, epoch));
        checkEq(logs.length, 1, "events");
        checkLog(
            logs[0],
            topicsOf(IKeyRegistry.CapturesRegistered.selector, album, root),
            abi.encode(list, count, epoch, START + later)
        );
        _checkBatch(album, root, count, epoch, START + later);
        // the same root is free in another album
        _checkBatch(foreign, root, 0, 0, 0);
        logsOf(stranger, _register(foreign, root, list, 1, 1));
        _checkBatch(foreign, root, 1, 1, START + later);
    }

    function _checkBatch(bytes32 album, bytes32 root, uint256 count, uint256 epoch, uint256 time)
        internal
        view
    {
        (uint32 c, uint32 e, uint40 t) = registry.captureBatch(album, root);
        checkEq(c, count, "count");
        checkEq(e, epoch, "epoch");
        checkEq(t, time, "time");
    }

    // ------------------------------------------------------------------ verifyCapture

    function _capture(bytes32 seed, uint256 index) internal pure returns (Capture memory) {
        bytes32 s = keccak256(abi.encode(seed, index));
        // casting is safe: any slot will do
        // forge-lint: disable-next-line(unsafe-typecast)
        return Capture(s, keccak256(abi.encode(s, 1)), keccak256(abi.encode(s, 2)), uint32(uint256(s)));
    }

    function _leaf(Capture memory c, uint32 epoch) internal pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(c.uid, c.digest, c.keyCommit, epoch, c.slot))));
    }

    /// @dev The nodes of OpenZeppelin's StandardMerkleTree (its order of leaves aside): the root first, leaves last.
    function _tree(bytes32 seed, uint256 count, uint32 epoch) internal pure returns (bytes32[] memory nodes) {
        nodes = new bytes32[](2 * count - 1);
        for (uint256 i = 0; i < count; ++i) {
            nodes[nodes.length - 1 - i] = _leaf(_capture(seed, i), epoch);
        }
        for (uint256 i = count - 1; i > 0; --i) {
            (bytes32 a, bytes32 b) = (nodes[2 * i - 1], nodes[2 * i]);
            nodes[i - 1] = a < b ? keccak256(abi.encode(a, b)) : keccak256(abi.encode(b, a));
        }
    }

    function _proof(bytes32[] memory nodes, uint256 index) internal pure returns (bytes32[] memory proof) {
        uint256 depth;
        for (uint256 node = nodes.length - 1 - index; node > 0; node = (node - 1) / 2) {
            ++depth;
        }
        proof = new bytes32[](depth);
        depth = 0;
        for (uint256 node = nodes.length - 1 - index; node > 0; node = (node - 1) / 2) {
            proof[depth++] = nodes[node % 2 == 1 ? node + 1 : node - 1];
        }
    }

    function _verify(bytes32 album, bytes32 root, Capture memory c, bytes32[] memory proof)
        internal
        view
        returns (bool)
    {
        return registry.verifyCapture(album, root, c.uid, c.digest, c.keyCommit, c.slot, proof);
    }

    function testFuzz_verifyCapture(bytes32 seed, uint32 count, uint256 index) public {
        count = uint32(bound(count, 1, 40));
        index = bound(index, 0, count - 1);
        bytes32 album = _album(3);
        bytes32[] memory nodes = _tree(seed, count, 2);
        (Capture memory c, bytes32[] memory proof) = (_capture(seed, index), _proof(nodes, index));
        check(!_verify(album, nodes[0], c, proof), "verified before it was registered");
        logsOf(owner, _register(album, nodes[0], "list", count, 2));
        check(_verify(album, nodes[0], c, proof), "not verified");
        // in no other album, and in no batch that was not registered
        check(!_verify(~album, nodes[0], c, proof), "in another album");
        check(!_verify(album, ~nodes[0], c, proof), "in another batch");
        for (uint256 i = 0; i < count; ++i) {
            check(_verify(album, nodes[0], _capture(seed, i), _proof(nodes, i)), "another one");
            if (i != index) check(!_verify(album, nodes[0], _capture(seed, i), proof), "another's proof");
        }
        check(!_verify(album, nodes[0], _capture(seed, count), proof), "one that is not in it");
    }

    function testFuzz_verifyCapture_altered(bytes32 seed, uint32 count, uint8 field, uint256 node) public {
        count = uint32(bound(count, 2, 40));
        bytes32 album = _album(2);
        bytes32[] memory nodes = _tree(seed, count, 1);
        logsOf(owner, _register(album, nodes[0], "list", count, 1));
        (Capture memory c, bytes32[] memory proof) = (_capture(seed, 0), _proof(nodes, 0));
        field %= 7;
        if (field == 0) c.uid = ~c.uid;
        else if (field == 1) c.digest = ~c.digest;
        else if (field == 2) c.keyCommit = ~c.keyCommit;
        else if (field == 3) c.slot ^= 1;
        else if (field == 4) proof[node % proof.length] = ~proof[node % proof.length];
        else if (field == 5) proof = _proof(nodes, 0).length == 1 ? new bytes32[](0) : _shorter(proof);
        else proof = _longer(proof, "more");
        check(!_verify(album, nodes[0], c, proof), "verified");
    }

    function _shorter(bytes32[] memory proof) internal pure returns (bytes32[] memory some) {
        some = new bytes32[](proof.length - 1);
        for (uint256 i = 0; i < some.length; ++i) {
            some[i] = proof[i];
        }
    }

    function _longer(bytes32[] memory proof, bytes32 last) internal pure returns (bytes32[] memory more) {
        more = new bytes32[](proof.length + 1);
        for (uint256 i = 0; i < proof.length; ++i) {
            more[i] = proof[i];
        }
        more[proof.length] = last;
    }

    /// @dev The epoch is the batch's, whatever the leaf says.
    function testFuzz_verifyCapture_ofAnotherEpoch(bytes32 seed, uint32 count) public {
        count = uint32(bound(count, 1, 40));
        bytes32 album = _album(2);
        bytes32[] memory nodes = _tree(seed, count, 1);
        logsOf(owner, _register(album, nodes[0], "list", count, 2));
        check(!_verify(album, nodes[0], _capture(seed, 0), _proof(nodes, 0)), "verified");
    }

    /// @dev A tree of more leaves than the registration says: what lies deeper than its count allows is in no batch.
    function testFuzz_verifyCapture_moreThanCounted(bytes32 seed, uint32 count, uint32 said) public {
        count = uint32(bound(count, 3, 40));
        said = uint32(bound(said, 1, count - 1));
        bytes32 album = _album(1);
        bytes32[] memory nodes = _tree(seed, count, 1);
        logsOf(owner, _register(album, nodes[0], "list", said, 1));
        for (uint256 i = 0; i < count; ++i) {
            bytes32[] memory proof = _proof(nodes, i);
            bool fits = proof.length < 7 && 1 << proof.length < 2 * said;
            check(_verify(album, nodes[0], _capture(seed, i), proof) == fits, "verified");
        }
    }

    /// @dev An inner node is no leaf, though its hash has the length of one's content.
    function test_verifyCapture_innerNodes() public {
        bytes32 album = _album(1);
        bytes32[] memory nodes = _tree("seed", 4, 1);
        logsOf(owner, _register(album, nodes[0], "list", 4, 1));
        bytes32[] memory proof = new bytes32[](1);
        proof[0] = nodes[2];
        check(!_verify(album, nodes[0], Capture(nodes[3], nodes[4], 0, 0), proof), "verified");
    }

    /// @dev The largest batch: a proof of 14 hashes.
    function test_verifyCapture_tenThousand() public {
        bytes32 album = _album(1);
        bytes32[] memory nodes = _tree("seed", 10_000, 1);
        logsOf(owner, _register(album, nodes[0], "list", 10_000, 1));
        checkEq(_proof(nodes, 9_999).length, 13, "the last leaf's depth");
        for (uint256 i = 0; i < 10_000; i += 1_111) {
            check(_verify(album, nodes[0], _capture("seed", i), _proof(nodes, i)), "not verified");
        }
    }
}
