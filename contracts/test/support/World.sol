// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IKeyRegistry} from "../../src/IKeyRegistry.sol";
import {Test} from "./Test.sol";
import {Vm} from "./Vm.sol";

/// @dev A registry, its actors, and what every test does with them.
abstract contract World is Test {
    uint256 internal constant START = 1_800_000_000;
    uint40 internal constant EXPIRY = 1_900_000_000;

    IKeyRegistry internal registry;
    address internal owner = actor("owner");
    address internal recipient = actor("recipient");
    address internal stranger = actor("stranger");

    function setUp() public virtual {
        vm.warp(START);
        registry = deployed("salt");
    }

    /// @dev As it is deployed: built with via-IR, which the tests are not.
    function deployed(bytes32 salt) internal returns (IKeyRegistry) {
        return IKeyRegistry(vm.deployCode("KeyRegistry.sol:KeyRegistry", abi.encode(salt)));
    }

    // ------------------------------------------------------------------ calls

    /// @dev The call must revert with exactly `expected`, and every slot it wrote must hold what it held before.
    function refuses(address who, bytes memory data, bytes memory expected) internal {
        (bool ok, bytes memory answer, bool changed) = attempt(who, data);
        check(!ok, "the call was not refused");
        checkEq(answer, expected, "what the call reverted with");
        check(!changed, "a refused call changed the state");
    }

    /// @dev Calls the registry; `changed` says whether a slot holds another value than before its first write.
    function attempt(address who, bytes memory data)
        internal
        returns (bool ok, bytes memory answer, bool changed)
    {
        vm.startStateDiffRecording();
        vm.prank(who);
        (ok, answer) = address(registry).call(data);
        Vm.AccountAccess[] memory touched = vm.stopAndReturnStateDiff();
        for (uint256 i = 0; i < touched.length; ++i) {
            Vm.StorageAccess[] memory slots = touched[i].storageAccesses;
            for (uint256 j = 0; j < slots.length; ++j) {
                if (!_firstWrite(slots, j)) continue;
                check(slots[j].account == address(registry), "another contract's storage");
                if (vm.load(address(registry), slots[j].slot) != slots[j].previousValue) changed = true;
            }
        }
    }

    function _firstWrite(Vm.StorageAccess[] memory slots, uint256 index) private pure returns (bool) {
        for (uint256 i = 0; i < index; ++i) {
            if (slots[i].isWrite && slots[i].slot == slots[index].slot) return false;
        }
        return slots[index].isWrite;
    }

    function logsOf(address who, bytes memory data) internal returns (Vm.Log[] memory) {
        vm.recordLogs();
        vm.prank(who);
        (bool ok, bytes memory answer) = address(registry).call(data);
        if (!ok) revert Different("the call was refused", answer, "");
        return vm.getRecordedLogs();
    }

    function checkLog(Vm.Log memory log, bytes32[] memory topics, bytes memory data) internal view {
        checkEq(log.emitter, address(registry), "emitter");
        checkEq(abi.encode(log.topics), abi.encode(topics), "topics");
        checkEq(log.data, data, "data of the event");
    }

    function topicsOf(bytes32 a, bytes32 b) internal pure returns (bytes32[] memory topics) {
        topics = new bytes32[](2);
        (topics[0], topics[1]) = (a, b);
    }

    function topicsOf(bytes32 a, bytes32 b, bytes32 c) internal pure returns (bytes32[] memory topics) {
        topics = new bytes32[](3);
        (topics[0], topics[1], topics[2]) = (a, b, c);
    }

    function topicsOf(bytes32 a, bytes32 b, bytes32 c, bytes32 d)
        internal
        pure
        returns (bytes32[] memory topics)
    {
        topics = new bytes32[](4);
        (topics[0], topics[1], topics[2], topics[3]) = (a, b, c, d);
    }

    function word(address who) internal pure returns (bytes32) {
        return bytes32(uint256(uint160(who)));
    }

    // ------------------------------------------------------------------ ids, as clients compute them

    function albumOf(address who, bytes32 salt) internal pure returns (bytes32) {
        return keccak256(abi.encode(who, salt));
    }

    function grantOf(bytes32 album, bytes32 salt) internal pure returns (bytes32) {
        return keccak256(abi.encode(album, salt));
    }

    /// @dev Head of a grant by itself before any commit; of a batch's, what the batch's head is made of.
    function headOf(IKeyRegistry.GrantParams memory params, uint8 suite) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                grantOf(params.album, params.salt),
                params.album,
                params.scopeCommit,
                params.keyVersion,
                suite,
                keccak256(params.payload)
            )
        );
    }

    function batchHeadOf(IKeyRegistry.GrantParams[] memory grants, uint8 suite)
        internal
        pure
        returns (bytes32)
    {
        bytes memory heads;
        for (uint256 i = 0; i < grants.length; ++i) {
            heads = bytes.concat(heads, headOf(grants[i], suite));
        }
        return keccak256(heads);
    }

    function leafOf(uint8 seq, uint8 index, bytes32 digest) internal pure returns (bytes32) {
        return keccak256(abi.encode(seq, index, digest));
    }

    function chained(bytes32 head, bytes32 leaf) internal pure returns (bytes32) {
        return keccak256(abi.encode(head, leaf));
    }

    // ------------------------------------------------------------------ scenes

    function publicKey(uint8 suite, bytes32 seed) internal pure returns (bytes memory) {
        if (suite == 2) return stream(seed, 1216);
        return abi.encodePacked(uint256(seed) % 2 == 0 ? bytes1(0x02) : bytes1(0x03), stream(seed, 32));
    }

    function addKey(address who, uint8 suite, bytes32 seed) internal returns (uint32) {
        vm.prank(who);
        return registry.registerKey(suite, publicKey(suite, seed));
    }

    /// @dev The first `count` of eight fixed keepers.
    function keepersOf(uint256 count) internal pure returns (address[] memory keepers) {
        keepers = new address[](count);
        for (uint256 i = 0; i < count; ++i) {
            keepers[i] = keeperAt(i);
        }
    }

    function keeperAt(uint256 index) internal pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encode("keeper", index)))));
    }

    function addAlbum(address who, bytes32 salt, uint256 keepers, uint8 threshold)
        internal
        returns (bytes32 album, uint32 set)
    {
        vm.prank(who);
        album = registry.createAlbum(salt, keccak256("epoch 1"), keepersOf(keepers), threshold);
        (,,, set) = registry.album(album);
    }

    function acceptAll(uint32 set) internal {
        address[] memory keepers = registry.keeperSet(set).keepers;
        for (uint256 i = 0; i < keepers.length; ++i) {
            vm.prank(keepers[i]);
            registry.acceptKeeperSet(set);
        }
    }

    /// @dev The owner's album with an accepted keeper set, and a key of the recipient (version 1, suite 1).
    function ready(uint256 keepers, uint8 threshold) internal returns (bytes32 album, uint32 set) {
        (album, set) = addAlbum(owner, "album", keepers, threshold);
        acceptAll(set);
        addKey(recipient, 1, "key");
    }

    function paramsOf(bytes32 album, bytes32 salt, uint32 set)
        internal
        view
        returns (IKeyRegistry.GrantParams memory)
    {
        return IKeyRegistry.GrantParams({
            album: album,
            salt: salt,
            scopeCommit: keccak256("scope"),
            recipient: recipient,
            keyVersion: 1,
            expiry: EXPIRY,
            keeperSet: set,
            payload: "payload"
        });
    }

    function addGrant(bytes32 album, bytes32 salt, uint32 set) internal returns (bytes32) {
        vm.prank(owner);
        return registry.grant(paramsOf(album, salt, set));
    }

    /// @dev A grant of each salt, as one batch.
    function addBatch(bytes32 album, uint32 set, bytes32[] memory salts) internal returns (bytes32[] memory) {
        vm.prank(owner);
        return registry.grantBatch(manyOf(album, set, salts));
    }

    function manyOf(bytes32 album, uint32 set, bytes32[] memory salts)
        internal
        view
        returns (IKeyRegistry.GrantParams[] memory grants)
    {
        grants = new IKeyRegistry.GrantParams[](salts.length);
        for (uint256 i = 0; i < salts.length; ++i) {
            grants[i] = paramsOf(album, salts[i], set);
            grants[i].payload = abi.encode("payload", i);
        }
    }

    /// @dev "0", "1" and so on, hashed.
    function saltsOf(uint256 count) internal pure returns (bytes32[] memory salts) {
        salts = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            salts[i] = keccak256(abi.encode("salt", i));
        }
    }

    /// @dev A live grant of a fresh album.
    function granted(uint256 keepers, uint8 threshold) internal returns (bytes32 album, bytes32 id) {
        uint32 set;
        (album, set) = ready(keepers, threshold);
        id = addGrant(album, "grant", set);
    }

    function ask(bytes32 id) internal returns (uint8) {
        vm.prank(recipient);
        return registry.requestAccess(id, "request key");
    }

    function commit(bytes32 id, uint8 seq, uint256 index, bytes memory share) internal {
        vm.prank(keeperAt(index));
        // casting is safe: there are at most eight keepers
        // forge-lint: disable-next-line(unsafe-typecast)
        registry.commitRelease(id, seq, uint8(index), keccak256(share));
    }

    function withdraw(bytes32 album, bytes32 salt) internal {
        vm.prank(owner);
        registry.revoke(album, salt);
    }
}
