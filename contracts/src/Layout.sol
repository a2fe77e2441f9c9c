// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";
import {IKeyRegistry} from "./IKeyRegistry.sol";

/// @title All storage of the registry
/// @notice Storage proofs (EIP-1186) of audits read these slots: docs/REGISTRY.md has the same table for readers, and
///         test/Packing.t.sol holds the contract to it. Nothing else of the contract declares storage.
/// @dev Packed so that each step of a release touches as few slots as it can. Solidity packs from the lowest bits.
abstract contract Layout is IKeyRegistry {
    struct Key {
        bytes30 keyHash;
        uint8 suite;
        KeyStatus status;
    }

    struct Album {
        address owner;
        uint32 currentKeeperSet;
        uint32 latestKeeperSet;
        uint32 epoch;
    }

    struct KeeperSetHead {
        bytes32 album;
        uint8 accepted;
    }

    /// @dev One slot a member: `commitRelease` reads who may commit and how many must in one load.
    struct Member {
        address keeper;
        uint8 threshold;
        uint8 count;
    }

    /// @dev `word`: see GrantWord. `head` is the hash chain of IKeyRegistry.GrantView; in a batch it is zero until the
    ///      grant's first commit, and the batch's head stands for it.
    struct Grant {
        uint256 word;
        bytes32 head;
    }

    /// @dev What the grants of a batch share. `keeperSet` is of those that are not direct.
    struct Batch {
        uint32 keeperSet;
        bytes32 head;
    }

    /// @dev `listHash` is the first 152 bits of keccak256(listDigest): it binds what only the log says.
    struct CaptureBatch {
        bytes19 listHash;
        uint32 count;
        uint32 epoch;
        uint40 time;
    }

    mapping(address wallet => mapping(uint32 version => Key)) internal _keys;
    mapping(address wallet => uint32) internal _keyCount;
    mapping(address wallet => mapping(uint8 suite => uint32)) internal _activeKey;
    mapping(bytes32 album => Album) internal _albums;
    mapping(bytes32 album => mapping(uint32 epoch => bytes32)) internal _epochCommits;
    uint32 internal _keeperSetCount;
    mapping(uint32 keeperSet => KeeperSetHead) internal _keeperSets;
    mapping(uint32 keeperSet => mapping(uint256 index => Member)) internal _members;
    mapping(bytes32 album => mapping(bytes32 uid => bytes32)) internal _captures;
    mapping(bytes32 grantId => Grant) internal _grants;
    uint32 internal _batchCount;
    mapping(uint32 batch => Batch) internal _batches;
    mapping(bytes32 album => mapping(bytes32 root => CaptureBatch)) internal _captureBatches;
    mapping(address wallet => BitMaps.BitMap) internal _nonces;
}
