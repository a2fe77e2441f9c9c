// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IKeyRegistry} from "../src/IKeyRegistry.sol";
import {World} from "./support/World.sol";
import {Vm} from "./support/Vm.sol";

contract CapturesTest is World {
    struct Capture {
        bytes32 uid;
        bytes32 digest;
        bytes32 keyCommit;
        uint32 epoch;
        uint32 slot;
    }

    function _call(bytes32 album, Capture memory c) internal pure returns (bytes memory) {
        return
            abi.encodeCall(
                IKeyRegistry.registerCapture, (album, c.uid, c.digest, c.keyCommit, c.epoch, c.slot)
            );
    }

    function _album(uint32 epochs) internal returns (bytes32 album) {
        (album,) = addAlbum(owner, "album", 1, 1);
        for (uint256 i = 1; i < epochs; ++i) {
            vm.prank(owner);
            registry.openEpoch(album, keccak256(abi.encode(i)));
        }
    }

    function testFuzz_registerCapture_NoSuchAlbum(address who, bytes32 album, Capture memory c) public {
        refuses(who, _call(album, c), abi.encodeWithSelector(IKeyRegistry.NoSuchAlbum.selector, album));
    }

    function testFuzz_registerCapture_NotAlbumOwner(address who, Capture memory c) public {
        vm.assume(who != owner);
        bytes32 album = _album(1);
        refuses(who, _call(album, c), abi.encodeWithSelector(IKeyRegistry.NotAlbumOwner.selector, album, who));
    }

    function testFuzz_registerCapture_BadEpoch(uint8 epochs, bool zero, Capture memory c) public {
        uint32 current = uint32(bound(epochs, 1, 6));
        bytes32 album = _album(current);
        c.epoch = zero ? 0 : uint32(bound(c.epoch, current + 1, type(uint32).max));
        refuses(
            owner, _call(album, c), abi.encodeWithSelector(IKeyRegistry.BadEpoch.selector, c.epoch, current)
        );
    }

    function test_registerCapture_BadEpoch_next() public {
        bytes32 album = _album(2);
        Capture memory c = Capture("uid", "digest", "commit", 3, 1);
        refuses(owner, _call(album, c), abi.encodeWithSelector(IKeyRegistry.BadEpoch.selector, 3, 2));
    }

    function testFuzz_registerCapture_ZeroCommit(Capture memory c) public {
        (c.epoch, c.keyCommit) = (1, 0);
        refuses(owner, _call(_album(1), c), abi.encodeWithSelector(IKeyRegistry.ZeroCommit.selector));
    }

    function testFuzz_registerCapture_CaptureExists(Capture memory c, bytes32 digest, bytes32 keyCommit)
        public
    {
        vm.assume(c.keyCommit != 0 && keyCommit != 0);
        c.epoch = 1;
        bytes32 album = _album(1);
        logsOf(owner, _call(album, c));
        (c.digest, c.keyCommit) = (digest, keyCommit);
        refuses(
            owner, _call(album, c), abi.encodeWithSelector(IKeyRegistry.CaptureExists.selector, album, c.uid)
        );
    }

    /// @dev Older epochs stay open for captures that were sealed offline.
    function testFuzz_registerCapture(uint8 epochs, Capture memory c) public {
        vm.assume(c.keyCommit != 0);
        uint32 current = uint32(bound(epochs, 1, 6));
        bytes32 album = _album(current);
        c.epoch = uint32(bound(c.epoch, 1, current));
        checkEq(registry.captureHash(album, c.uid), 0, "hash of no capture");
        Vm.Log[] memory logs = logsOf(owner, _call(album, c));
        checkEq(logs.length, 1, "events");
        checkLog(
            logs[0],
            topicsOf(IKeyRegistry.CaptureRegistered.selector, album, c.uid),
            abi.encode(c.digest, c.keyCommit, c.epoch, c.slot)
        );
        checkEq(
            registry.captureHash(album, c.uid),
            keccak256(abi.encode(c.digest, c.keyCommit, c.epoch, c.slot)),
            "hash"
        );
    }

    /// @dev A uid that somebody else published first in an album of theirs stays free in this one.
    function testFuzz_registerCapture_uidsOfAlbumsAreApart(Capture memory c) public {
        vm.assume(c.keyCommit != 0);
        c.epoch = 1;
        (bytes32 foreign,) = addAlbum(stranger, "album", 1, 1);
        logsOf(stranger, _call(foreign, c));
        bytes32 album = _album(1);
        logsOf(owner, _call(album, c));
        checkEq(registry.captureHash(album, c.uid), registry.captureHash(foreign, c.uid), "hash");
    }
}
