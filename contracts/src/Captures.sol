// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Albums} from "./Albums.sol";
import {IKeyRegistry} from "./IKeyRegistry.sol";

/// @title Captures, alone and in batches
abstract contract Captures is Albums {
    uint256 private constant MAX_CAPTURES = 10_000;

    /// @inheritdoc IKeyRegistry
    function registerCapture(
        bytes32 albumId,
        bytes32 uid,
        bytes32 digest,
        bytes32 keyCommit,
        uint32 epoch,
        uint32 slot
    ) external {
        _checkEpoch(albumId, epoch);
        if (keyCommit == 0) revert ZeroCommit();
        if (_captures[albumId][uid] != 0) revert CaptureExists(albumId, uid);
        _captures[albumId][uid] = keccak256(abi.encode(digest, keyCommit, epoch, slot));
        emit CaptureRegistered(albumId, uid, digest, keyCommit, epoch, slot);
    }

    /// @inheritdoc IKeyRegistry
    function registerCaptures(bytes32 albumId, bytes32 root, bytes32 listDigest, uint32 count, uint32 epoch)
        external
    {
        _checkEpoch(albumId, epoch);
        if (root == 0 || listDigest == 0) revert ZeroCommit();
        if (count == 0 || count > MAX_CAPTURES) revert BadCaptureCount(count);
        if (_captureBatches[albumId][root].count != 0) revert CaptureBatchExists(albumId, root);
        uint40 time = uint40(block.timestamp);
        _captureBatches[albumId][root] =
            CaptureBatch(bytes19(keccak256(abi.encode(listDigest))), count, epoch, time);
        emit CapturesRegistered(albumId, root, listDigest, count, epoch, time);
    }

    /// @inheritdoc IKeyRegistry
    function captureHash(bytes32 albumId, bytes32 uid) external view returns (bytes32) {
        return _captures[albumId][uid];
    }

    /// @inheritdoc IKeyRegistry
    function captureBatch(bytes32 albumId, bytes32 root)
        external
        view
        returns (uint32 count, uint32 epoch, uint40 time)
    {
        CaptureBatch storage record = _captureBatches[albumId][root];
        return (record.count, record.epoch, record.time);
    }

    /// @inheritdoc IKeyRegistry
    function verifyCapture(
        bytes32 albumId,
        bytes32 root,
        bytes32 uid,
        bytes32 digest,
        bytes32 keyCommit,
        uint32 slot,
        bytes32[] calldata proof
    ) external view returns (bool) {
        CaptureBatch storage record = _captureBatches[albumId][root];
        uint256 count = record.count;
        if (count == 0 || proof.length > Math.log2(count, Math.Rounding.Ceil)) return false;
        bytes32 leaf = keccak256(abi.encode(uid, digest, keyCommit, record.epoch, slot));
        // hashed twice, so that no inner node of the tree is a leaf
        return MerkleProof.verifyCalldata(proof, root, keccak256(bytes.concat(leaf)));
    }

    function _checkEpoch(bytes32 albumId, uint32 epoch) private view {
        uint32 current = _ownAlbum(albumId, msg.sender).epoch;
        if (epoch == 0 || epoch > current) revert BadEpoch(epoch, current);
    }
}
