// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IKeyRegistry} from "../src/IKeyRegistry.sol";
import {World} from "./support/World.sol";
import {Vm} from "./support/Vm.sol";

contract RotationTest is World {
    function _rotate(
        bytes32 album,
        bytes32 keyCommit,
        bytes32[] memory salts,
        IKeyRegistry.GrantParams[] memory grants
    ) internal pure returns (bytes memory) {
        return abi.encodeCall(IKeyRegistry.rotate, (album, keyCommit, salts, grants));
    }

    /// @dev An album with grants "0" to `count - 1`, and what re-grants them under other salts.
    function _lived(uint8 count)
        internal
        returns (bytes32 album, bytes32[] memory salts, IKeyRegistry.GrantParams[] memory next)
    {
        uint32 set;
        (album, set) = ready(1, 1);
        salts = saltsOf(bound(count, 1, 8));
        addBatch(album, set, salts);
        next = manyOf(album, set, salts);
        for (uint256 i = 0; i < next.length; ++i) {
            next[i].salt = ~next[i].salt;
        }
    }

    // ------------------------------------------------------------------ reverts; nothing of it is done then

    function testFuzz_rotate_NoSuchAlbum(address who, bytes32 album, uint8 count) public {
        (bytes32 mine, bytes32[] memory salts, IKeyRegistry.GrantParams[] memory next) = _lived(count);
        vm.assume(album != mine);
        refuses(
            who,
            _rotate(album, "commit", salts, next),
            abi.encodeWithSelector(IKeyRegistry.NoSuchAlbum.selector, album)
        );
    }

    function testFuzz_rotate_NotAlbumOwner(address who, uint8 count) public {
        vm.assume(who != owner);
        (bytes32 album, bytes32[] memory salts, IKeyRegistry.GrantParams[] memory next) = _lived(count);
        refuses(
            who,
            _rotate(album, "commit", salts, next),
            abi.encodeWithSelector(IKeyRegistry.NotAlbumOwner.selector, album, who)
        );
    }

    function testFuzz_rotate_ZeroCommit(uint8 count) public {
        (bytes32 album, bytes32[] memory salts, IKeyRegistry.GrantParams[] memory next) = _lived(count);
        refuses(
            owner, _rotate(album, 0, salts, next), abi.encodeWithSelector(IKeyRegistry.ZeroCommit.selector)
        );
    }

    /// @dev A rotation that names nobody, sent twice: nothing else of it could refuse the second.
    function testFuzz_rotate_EpochExists(uint8 count, bytes32 keyCommit) public {
        (bytes32 album,,) = _lived(count);
        vm.assume(keyCommit != 0 && keyCommit != registry.epochKeyCommit(album, 1));
        bytes memory twice = _rotate(album, keyCommit, new bytes32[](0), new IKeyRegistry.GrantParams[](0));
        logsOf(owner, twice);
        refuses(owner, twice, abi.encodeWithSelector(IKeyRegistry.EpochExists.selector, album, uint32(2)));
    }

    function testFuzz_rotate_NoSuchGrant(uint8 count, uint256 place) public {
        (bytes32 album, bytes32[] memory salts, IKeyRegistry.GrantParams[] memory next) = _lived(count);
        salts[bound(place, 0, salts.length - 1)] = "none";
        refuses(
            owner,
            _rotate(album, "commit", salts, next),
            abi.encodeWithSelector(IKeyRegistry.NoSuchGrant.selector, grantOf(album, "none"))
        );
    }

    function testFuzz_rotate_GrantIsRevoked(uint8 count, uint256 place) public {
        (bytes32 album, bytes32[] memory salts, IKeyRegistry.GrantParams[] memory next) = _lived(count);
        place = bound(place, 0, salts.length - 1);
        withdraw(album, salts[place]);
        refuses(
            owner,
            _rotate(album, "commit", salts, next),
            abi.encodeWithSelector(IKeyRegistry.GrantIsRevoked.selector, grantOf(album, salts[place]))
        );
    }

    /// @dev Also of the first one: it is of the album that is rotated.
    function testFuzz_rotate_MixedAlbums(uint8 count, uint256 place) public {
        (bytes32 album, bytes32[] memory salts, IKeyRegistry.GrantParams[] memory next) = _lived(count);
        (bytes32 other,) = addAlbum(owner, "other", 1, 1);
        next[bound(place, 0, next.length - 1)].album = other;
        refuses(
            owner,
            _rotate(album, "commit", salts, next),
            abi.encodeWithSelector(IKeyRegistry.MixedAlbums.selector, album, other)
        );
    }

    /// @dev A revoked grant does not come back under its id.
    function testFuzz_rotate_GrantExists(uint8 count, uint256 place) public {
        (bytes32 album, bytes32[] memory salts, IKeyRegistry.GrantParams[] memory next) = _lived(count);
        place = bound(place, 0, next.length - 1);
        next[place].salt = salts[place];
        refuses(
            owner,
            _rotate(album, "commit", salts, next),
            abi.encodeWithSelector(IKeyRegistry.GrantExists.selector, grantOf(album, salts[place]))
        );
    }

    /// @dev Somebody who stays has changed keys meanwhile: the owner learns it, and nobody is left without a grant.
    function testFuzz_rotate_StaleKey(uint8 count, bytes32 seed) public {
        (bytes32 album, bytes32[] memory salts, IKeyRegistry.GrantParams[] memory next) = _lived(count);
        addKey(recipient, 1, seed);
        refuses(
            owner,
            _rotate(album, "commit", salts, next),
            abi.encodeWithSelector(
                IKeyRegistry.StaleKey.selector, recipient, 1, IKeyRegistry.KeyStatus.Retired
            )
        );
    }

    // ------------------------------------------------------------------ life

    /// @dev Some go, some stay, one may be new: revocations, the epoch, grants and their batch, in this order.
    function testFuzz_rotate(uint8 count, uint8 going, uint8 staying, bytes32 keyCommit) public {
        (bytes32 album, bytes32[] memory salts, IKeyRegistry.GrantParams[] memory next) = _lived(count);
        vm.assume(keyCommit != 0 && keyCommit != registry.epochKeyCommit(album, 1));
        salts = _firstSalts(salts, going % (salts.length + 1));
        next = _firstGrants(next, staying % (next.length + 1));
        vm.recordLogs();
        vm.prank(owner);
        checkEq(registry.rotate(album, keyCommit, salts, next), 2, "epoch");
        checkEq(registry.epochKeyCommit(album, 2), keyCommit, "commitment");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        checkEq(logs.length, salts.length + 1 + next.length + (next.length == 0 ? 0 : 1), "events");
        for (uint256 i = 0; i < salts.length; ++i) {
            bytes32 id = grantOf(album, salts[i]);
            checkLog(logs[i], topicsOf(IKeyRegistry.GrantRevoked.selector, id), abi.encode(false, 0));
            check(registry.grantState(id).revoked, "revoked");
        }
        checkLog(
            logs[salts.length],
            topicsOf(IKeyRegistry.EpochOpened.selector, album, bytes32(uint256(2))),
            abi.encode(keyCommit)
        );
        if (next.length > 0) _checkGrants(logs, salts.length + 1, album, next);
    }

    function _checkGrants(
        Vm.Log[] memory logs,
        uint256 from,
        bytes32 album,
        IKeyRegistry.GrantParams[] memory next
    ) internal view {
        bytes32[] memory ids = new bytes32[](next.length);
        for (uint256 i = 0; i < next.length; ++i) {
            ids[i] = grantOf(album, next[i].salt);
            checkEq(logs[from + i].topics[0], IKeyRegistry.GrantCreated.selector, "grant");
            checkEq(logs[from + i].topics[1], ids[i], "id");
            check(registry.grantState(ids[i]).status == IKeyRegistry.GrantStatus.Live, "live");
            checkEq(registry.grantState(ids[i]).batch, 2, "batch");
        }
        checkLog(
            logs[logs.length - 1],
            topicsOf(IKeyRegistry.GrantsBatched.selector, album, bytes32(uint256(2))),
            abi.encode(batchHeadOf(next, 1), ids)
        );
    }

    function _firstSalts(bytes32[] memory all, uint256 count) internal pure returns (bytes32[] memory some) {
        some = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            some[i] = all[i];
        }
    }

    function _firstGrants(IKeyRegistry.GrantParams[] memory all, uint256 count)
        internal
        pure
        returns (IKeyRegistry.GrantParams[] memory some)
    {
        some = new IKeyRegistry.GrantParams[](count);
        for (uint256 i = 0; i < count; ++i) {
            some[i] = all[i];
        }
    }

    /// @dev In the block of a rotation a keeper commits to the old grant no more, and to the new one at once.
    function test_rotate_thenRelease() public {
        (bytes32 album, bytes32[] memory salts, IKeyRegistry.GrantParams[] memory next) = _lived(1);
        bytes32 former = grantOf(album, salts[0]);
        ask(former);
        logsOf(owner, _rotate(album, "commit", salts, next));
        refuses(
            keeperAt(0),
            abi.encodeCall(IKeyRegistry.commitRelease, (former, 1, 0, "digest")),
            abi.encodeWithSelector(IKeyRegistry.GrantIsRevoked.selector, former)
        );
        bytes32 id = grantOf(album, next[0].salt);
        commit(id, ask(id), 0, "share");
        check(registry.grantState(id).opened, "opened");
    }
}
