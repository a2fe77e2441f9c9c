// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IKeyRegistry} from "../src/IKeyRegistry.sol";
import {World} from "./support/World.sol";
import {Vm} from "./support/Vm.sol";

contract AlbumsTest is World {
    function _create(bytes32 salt, bytes32 keyCommit, address[] memory keepers, uint8 threshold)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(IKeyRegistry.createAlbum, (salt, keyCommit, keepers, threshold));
    }

    function _propose(bytes32 album, address[] memory keepers, uint8 threshold)
        internal
        pure
        returns (bytes memory)
    {
        return abi.encodeCall(IKeyRegistry.proposeKeepers, (album, keepers, threshold));
    }

    function _accept(uint32 set) internal pure returns (bytes memory) {
        return abi.encodeCall(IKeyRegistry.acceptKeeperSet, (set));
    }

    function _open(bytes32 album, bytes32 keyCommit) internal pure returns (bytes memory) {
        return abi.encodeCall(IKeyRegistry.openEpoch, (album, keyCommit));
    }

    function _checkAlbum(bytes32 album, address who, uint32 epoch, uint32 current, uint32 latest)
        internal
        view
    {
        (address a, uint32 e, uint32 c, uint32 l) = registry.album(album);
        checkEq(a, who, "owner");
        checkEq(e, epoch, "epoch");
        checkEq(c, current, "current keeper set");
        checkEq(l, latest, "latest keeper set");
    }

    function _checkSet(uint32 set, bytes32 album, uint8 threshold, uint256 accepted, address[] memory keepers)
        internal
        view
    {
        IKeyRegistry.KeeperSetView memory found = registry.keeperSet(set);
        checkEq(found.album, album, "album of the set");
        checkEq(found.threshold, threshold, "threshold");
        checkEq(found.accepted, accepted, "accepted");
        checkEq(abi.encode(found.keepers), abi.encode(keepers), "keepers");
    }

    // ------------------------------------------------------------------ reverts

    function testFuzz_createAlbum_AlbumExists(address who, bytes32 salt) public {
        vm.assume(who != address(0));
        (bytes32 album,) = addAlbum(who, salt, 1, 1);
        refuses(
            who,
            _create(salt, "another", keepersOf(2), 2),
            abi.encodeWithSelector(IKeyRegistry.AlbumExists.selector, album)
        );
    }

    function testFuzz_createAlbum_ZeroCommit(address who, bytes32 salt) public {
        refuses(
            who, _create(salt, 0, keepersOf(1), 1), abi.encodeWithSelector(IKeyRegistry.ZeroCommit.selector)
        );
    }

    function testFuzz_createAlbum_BadThreshold(address who, bytes32 salt, uint8 count, uint8 threshold)
        public
    {
        (count, threshold) = _badThreshold(count, threshold);
        refuses(
            who,
            _create(salt, "commit", keepersOf(count), threshold),
            abi.encodeWithSelector(IKeyRegistry.BadThreshold.selector, threshold, count)
        );
    }

    function testFuzz_proposeKeepers_BadThreshold(uint8 count, uint8 threshold) public {
        (count, threshold) = _badThreshold(count, threshold);
        (bytes32 album,) = addAlbum(owner, "album", 1, 1);
        refuses(
            owner,
            _propose(album, keepersOf(count), threshold),
            abi.encodeWithSelector(IKeyRegistry.BadThreshold.selector, threshold, count)
        );
    }

    /// @dev None of, more than, or of more than eight.
    function _badThreshold(uint8 count, uint8 threshold) internal pure returns (uint8, uint8) {
        count = uint8(bound(count, 0, 40));
        if (count <= 8 && threshold % 2 == 0) threshold = 0;
        else if (count <= 8) threshold = uint8(bound(threshold, count + 1, 255));
        return (count, threshold);
    }

    function testFuzz_createAlbum_ZeroAddress(uint8 count, uint8 index, uint8 threshold) public {
        count = uint8(bound(count, 1, 8));
        address[] memory keepers = keepersOf(count);
        keepers[bound(index, 0, count - 1)] = address(0);
        refuses(
            owner,
            _create("album", "commit", keepers, uint8(bound(threshold, 1, count))),
            abi.encodeWithSelector(IKeyRegistry.ZeroAddress.selector)
        );
    }

    function testFuzz_proposeKeepers_ZeroAddress(uint8 count, uint8 index, uint8 threshold) public {
        count = uint8(bound(count, 1, 8));
        (bytes32 album,) = addAlbum(owner, "album", 1, 1);
        address[] memory keepers = keepersOf(count);
        keepers[bound(index, 0, count - 1)] = address(0);
        refuses(
            owner,
            _propose(album, keepers, uint8(bound(threshold, 1, count))),
            abi.encodeWithSelector(IKeyRegistry.ZeroAddress.selector)
        );
    }

    function testFuzz_createAlbum_DuplicateKeeper(uint8 count, uint8 a, uint8 b) public {
        (address[] memory keepers, address twice) = _duplicate(count, a, b);
        refuses(
            owner,
            _create("album", "commit", keepers, 1),
            abi.encodeWithSelector(IKeyRegistry.DuplicateKeeper.selector, twice)
        );
    }

    function testFuzz_proposeKeepers_DuplicateKeeper(uint8 count, uint8 a, uint8 b) public {
        (bytes32 album,) = addAlbum(owner, "album", 1, 1);
        (address[] memory keepers, address twice) = _duplicate(count, a, b);
        refuses(
            owner,
            _propose(album, keepers, 1),
            abi.encodeWithSelector(IKeyRegistry.DuplicateKeeper.selector, twice)
        );
    }

    function _duplicate(uint8 count, uint8 a, uint8 b)
        internal
        pure
        returns (address[] memory keepers, address twice)
    {
        count = uint8(bound(count, 2, 8));
        keepers = keepersOf(count);
        uint256 first = bound(a, 0, count - 2);
        twice = keepers[first];
        keepers[bound(b, first + 1, count - 1)] = twice;
    }

    function testFuzz_openEpoch_NoSuchAlbum(address who, bytes32 album) public {
        refuses(who, _open(album, "commit"), abi.encodeWithSelector(IKeyRegistry.NoSuchAlbum.selector, album));
    }

    function testFuzz_openEpoch_NotAlbumOwner(address who) public {
        vm.assume(who != owner);
        (bytes32 album,) = addAlbum(owner, "album", 1, 1);
        refuses(
            who,
            _open(album, "commit"),
            abi.encodeWithSelector(IKeyRegistry.NotAlbumOwner.selector, album, who)
        );
    }

    function testFuzz_openEpoch_ZeroCommit(address who, bytes32 salt) public {
        vm.assume(who != address(0));
        (bytes32 album,) = addAlbum(who, salt, 1, 1);
        refuses(who, _open(album, 0), abi.encodeWithSelector(IKeyRegistry.ZeroCommit.selector));
    }

    /// @dev Sent twice, mined once: the second would seal two epochs under one secret, and shift all that follow.
    function testFuzz_openEpoch_EpochExists(address who, bytes32 keyCommit, bytes32 next) public {
        vm.assume(who != address(0) && keyCommit != 0 && next != 0 && next != keyCommit);
        (bytes32 album,) = addAlbum(who, "album", 1, 1);
        bytes32 first = registry.epochKeyCommit(album, 1);
        vm.assume(keyCommit != first);
        refuses(
            who,
            _open(album, first),
            abi.encodeWithSelector(IKeyRegistry.EpochExists.selector, album, uint32(1))
        );
        logsOf(who, _open(album, keyCommit));
        refuses(
            who,
            _open(album, keyCommit),
            abi.encodeWithSelector(IKeyRegistry.EpochExists.selector, album, uint32(2))
        );
        logsOf(who, _open(album, next));
    }

    function testFuzz_proposeKeepers_NoSuchAlbum(address who, bytes32 album) public {
        refuses(
            who,
            _propose(album, keepersOf(1), 1),
            abi.encodeWithSelector(IKeyRegistry.NoSuchAlbum.selector, album)
        );
    }

    function testFuzz_proposeKeepers_NotAlbumOwner(address who) public {
        vm.assume(who != owner);
        (bytes32 album,) = addAlbum(owner, "album", 1, 1);
        refuses(
            who,
            _propose(album, keepersOf(1), 1),
            abi.encodeWithSelector(IKeyRegistry.NotAlbumOwner.selector, album, who)
        );
    }

    function testFuzz_acceptKeeperSet_NoSuchKeeperSet(address who, uint32 set) public {
        addAlbum(owner, "album", 1, 1);
        vm.assume(set != 1);
        refuses(who, _accept(set), abi.encodeWithSelector(IKeyRegistry.NoSuchKeeperSet.selector, set));
    }

    /// @dev Accepted or not, by a member or not: a set that has a successor stays as it is.
    function testFuzz_acceptKeeperSet_KeeperSetSuperseded(address who, bool member, bool accepted) public {
        (bytes32 album, uint32 set) = addAlbum(owner, "album", 2, 1);
        if (accepted) acceptAll(set);
        logsOf(owner, _propose(album, keepersOf(1), 1));
        refuses(
            member ? keeperAt(1) : who,
            _accept(set),
            abi.encodeWithSelector(IKeyRegistry.KeeperSetSuperseded.selector, set, set + 1)
        );
    }

    function testFuzz_acceptKeeperSet_NotKeeper(address who, uint8 count) public {
        count = uint8(bound(count, 1, 8));
        for (uint256 i = 0; i < count; ++i) {
            vm.assume(who != keeperAt(i));
        }
        (, uint32 set) = addAlbum(owner, "album", count, 1);
        refuses(who, _accept(set), abi.encodeWithSelector(IKeyRegistry.NotKeeper.selector, set, who));
        // the next keeper after the last one is none
        refuses(
            keeperAt(count),
            _accept(set),
            abi.encodeWithSelector(IKeyRegistry.NotKeeper.selector, set, keeperAt(count))
        );
    }

    function testFuzz_acceptKeeperSet_AlreadyAccepted(uint8 count, uint8 index, bool all) public {
        count = uint8(bound(count, 1, 8));
        address keeper = keeperAt(bound(index, 0, count - 1));
        (, uint32 set) = addAlbum(owner, "album", count, 1);
        if (all) acceptAll(set);
        else logsOf(keeper, _accept(set));
        refuses(
            keeper, _accept(set), abi.encodeWithSelector(IKeyRegistry.AlreadyAccepted.selector, set, keeper)
        );
    }

    function testFuzz_createAlbum_AlreadyAcceptedByCreating(uint8 index) public {
        address who = keeperAt(bound(index, 0, 7));
        (, uint32 set) = addAlbum(who, "album", 8, 1);
        refuses(who, _accept(set), abi.encodeWithSelector(IKeyRegistry.AlreadyAccepted.selector, set, who));
    }

    // ------------------------------------------------------------------ life

    function testFuzz_createAlbum(address who, bytes32 salt, bytes32 keyCommit, uint8 count, uint8 threshold)
        public
    {
        vm.assume(keyCommit != 0);
        count = uint8(bound(count, 1, 8));
        threshold = uint8(bound(threshold, 1, count));
        for (uint256 i = 0; i < count; ++i) {
            vm.assume(who != keeperAt(i));
        }
        bytes32 album = albumOf(who, salt);
        Vm.Log[] memory logs = logsOf(who, _create(salt, keyCommit, keepersOf(count), threshold));
        checkEq(logs.length, 3, "events");
        checkLog(logs[0], topicsOf(IKeyRegistry.AlbumCreated.selector, album, word(who)), abi.encode(salt));
        checkLog(
            logs[1],
            topicsOf(IKeyRegistry.EpochOpened.selector, album, bytes32(uint256(1))),
            abi.encode(keyCommit)
        );
        checkLog(
            logs[2],
            topicsOf(IKeyRegistry.KeeperSetProposed.selector, album, bytes32(uint256(1))),
            abi.encode(threshold, keepersOf(count))
        );
        _checkAlbum(album, who, 1, 0, 1);
        _checkSet(1, album, threshold, 0, keepersOf(count));
        checkEq(registry.epochKeyCommit(album, 1), keyCommit, "commitment of epoch 1");
    }

    /// @dev The owner as one of several keepers: creating accepts for it alone.
    function testFuzz_createAlbum_byOneOfItsKeepers(uint8 count, uint8 index) public {
        count = uint8(bound(count, 2, 8));
        index = uint8(bound(index, 0, count - 1));
        address who = keeperAt(index);
        Vm.Log[] memory logs = logsOf(who, _create("album", "commit", keepersOf(count), count));
        checkEq(logs.length, 4, "events");
        checkLog(
            logs[3],
            topicsOf(IKeyRegistry.KeeperAccepted.selector, bytes32(uint256(1)), word(who)),
            abi.encode(index)
        );
        _checkSet(1, albumOf(who, "album"), count, 1 << index, keepersOf(count));
        _checkAlbum(albumOf(who, "album"), who, 1, 0, 1);
    }

    /// @dev The default: the owner is the only keeper, and the album can be used at once.
    function testFuzz_createAlbum_byItsOnlyKeeper(address who, bytes32 salt) public {
        vm.assume(who != address(0));
        address[] memory keepers = new address[](1);
        keepers[0] = who;
        bytes32 album = albumOf(who, salt);
        Vm.Log[] memory logs = logsOf(who, _create(salt, "commit", keepers, 1));
        checkEq(logs.length, 5, "events");
        checkLog(
            logs[3],
            topicsOf(IKeyRegistry.KeeperAccepted.selector, bytes32(uint256(1)), word(who)),
            abi.encode(0)
        );
        checkLog(logs[4], topicsOf(IKeyRegistry.KeeperSetActivated.selector, album, bytes32(uint256(1))), "");
        _checkAlbum(album, who, 1, 1, 1);
        _checkSet(1, album, 1, 1, keepers);
    }

    /// @dev A salt seen in the mempool is of no use to another wallet: the id depends on the sender.
    function testFuzz_createAlbum_idsOfOwnersAreApart(address a, address b, bytes32 salt) public {
        vm.assume(a != b);
        (bytes32 first,) = addAlbum(a, salt, 1, 1);
        (bytes32 second,) = addAlbum(b, salt, 1, 1);
        check(first != second, "two owners share an album");
        checkEq(first, albumOf(a, salt), "album of the first");
        checkEq(second, albumOf(b, salt), "album of the second");
    }

    function testFuzz_openEpoch(uint8 count, bytes32 seed) public {
        (bytes32 album,) = addAlbum(owner, "album", 1, 1);
        uint32 last = uint32(bound(count, 2, 12));
        for (uint32 epoch = 2; epoch <= last; ++epoch) {
            bytes32 keyCommit = keccak256(abi.encode(seed, epoch));
            Vm.Log[] memory logs = logsOf(owner, _open(album, keyCommit));
            checkEq(logs.length, 1, "events");
            checkLog(
                logs[0],
                topicsOf(IKeyRegistry.EpochOpened.selector, album, bytes32(uint256(epoch))),
                abi.encode(keyCommit)
            );
        }
        _checkAlbum(album, owner, last, 0, 1);
        checkEq(registry.epochKeyCommit(album, 1), keccak256("epoch 1"), "first commitment");
        checkEq(registry.epochKeyCommit(album, last), keccak256(abi.encode(seed, last)), "last commitment");
        checkEq(registry.epochKeyCommit(album, last + 1), 0, "commitment of no epoch");
    }

    /// @dev Whatever the order, each accepts for itself and the last one makes the set current.
    function testFuzz_acceptKeeperSet(uint8 count, uint8 threshold, uint256 order) public {
        count = uint8(bound(count, 1, 8));
        threshold = uint8(bound(threshold, 1, count));
        (bytes32 album, uint32 set) = addAlbum(owner, "album", count, threshold);
        uint256 accepted;
        for (uint256 left = count; left > 0; --left) {
            uint256 index = _missing(accepted, order % left);
            order /= left;
            address keeper = keeperAt(index);
            Vm.Log[] memory logs = logsOf(keeper, _accept(set));
            accepted |= 1 << index;
            checkEq(logs.length, left == 1 ? 2 : 1, "events");
            checkLog(
                logs[0],
                topicsOf(IKeyRegistry.KeeperAccepted.selector, bytes32(uint256(set)), word(keeper)),
                abi.encode(index)
            );
            _checkSet(set, album, threshold, accepted, keepersOf(count));
            _checkAlbum(album, owner, 1, left == 1 ? set : 0, set);
            if (left != 1) continue;
            checkLog(
                logs[1], topicsOf(IKeyRegistry.KeeperSetActivated.selector, album, bytes32(uint256(set))), ""
            );
        }
    }

    function _missing(uint256 accepted, uint256 skip) internal pure returns (uint256 index) {
        while (true) {
            if (accepted & (1 << index) == 0) {
                if (skip == 0) return index;
                --skip;
            }
            ++index;
        }
    }

    /// @dev The former set serves until all of the next have accepted; ids go on over all albums.
    function testFuzz_proposeKeepers(uint8 count, uint8 threshold) public {
        count = uint8(bound(count, 1, 8));
        threshold = uint8(bound(threshold, 1, count));
        (bytes32 album, uint32 first) = addAlbum(owner, "album", 2, 2);
        acceptAll(first);
        addAlbum(stranger, "album", 1, 1);
        Vm.Log[] memory logs = logsOf(owner, _propose(album, keepersOf(count), threshold));
        checkEq(logs.length, 1, "events");
        checkLog(
            logs[0],
            topicsOf(IKeyRegistry.KeeperSetProposed.selector, album, bytes32(uint256(3))),
            abi.encode(threshold, keepersOf(count))
        );
        _checkAlbum(album, owner, 1, first, 3);
        acceptAll(3);
        _checkAlbum(album, owner, 1, 3, 3);
        _checkSet(first, album, 2, 3, keepersOf(2));
        _checkSet(3, album, threshold, (1 << count) - 1, keepersOf(count));
    }

    function testFuzz_proposeKeepers_byAKeeper(uint8 index) public {
        address who = keeperAt(bound(index, 0, 7));
        (bytes32 album,) = addAlbum(who, "album", 8, 1);
        Vm.Log[] memory logs = logsOf(who, _propose(album, keepersOf(8), 8));
        checkEq(logs.length, 2, "events");
        _checkSet(2, album, 8, 1 << bound(index, 0, 7), keepersOf(8));
    }

    function test_noAlbumAndNoSet() public view {
        _checkAlbum("none", address(0), 0, 0, 0);
        _checkSet(0, 0, 0, 0, new address[](0));
        _checkSet(7, 0, 0, 0, new address[](0));
    }
}
