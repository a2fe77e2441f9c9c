// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Albums} from "./Albums.sol";
import {Authorizations} from "./Authorizations.sol";
import {GrantWord} from "./GrantWord.sol";
import {IKeyRegistry} from "./IKeyRegistry.sol";

/// @title What owners do with grants: grant, revoke and rotate
abstract contract Grants is Albums, Authorizations {
    using GrantWord for uint256;

    /// @inheritdoc IKeyRegistry
    function grant(GrantParams calldata params) external returns (bytes32 grantId) {
        return _grant(msg.sender, params);
    }

    /// @inheritdoc IKeyRegistry
    function grantFor(Authorization calldata authorization, GrantParams calldata params)
        external
        returns (bytes32 grantId)
    {
        bytes32 structHash = keccak256(
            abi.encode(
                GRANT,
                params.album,
                params.salt,
                params.scopeCommit,
                params.recipient,
                params.keyVersion,
                params.expiry,
                params.keeperSet,
                keccak256(params.payload),
                authorization.signer,
                authorization.nonce,
                authorization.deadline
            )
        );
        return _grant(_authorize(authorization, structHash), params);
    }

    /// @inheritdoc IKeyRegistry
    function grantBatch(GrantParams[] calldata grants) external returns (bytes32[] memory grantIds) {
        if (grants.length == 0) revert EmptyBatch();
        bytes32 albumId = grants[0].album;
        return _grantBatch(_ownAlbum(albumId, msg.sender), albumId, grants);
    }

    /// @inheritdoc IKeyRegistry
    function rotate(
        bytes32 albumId,
        bytes32 keyCommit,
        bytes32[] calldata revokedSalts,
        GrantParams[] calldata grants
    ) external returns (uint32 epoch) {
        Album storage record = _ownAlbum(albumId, msg.sender);
        _revokeAll(albumId, revokedSalts);
        epoch = _openEpoch(record, albumId, keyCommit);
        if (grants.length != 0) _grantBatch(record, albumId, grants);
    }

    /// @inheritdoc IKeyRegistry
    function revoke(bytes32 albumId, bytes32 salt) external {
        _ownAlbum(albumId, msg.sender);
        _revoke(albumId, salt);
    }

    /// @inheritdoc IKeyRegistry
    function revokeFor(Authorization calldata authorization, bytes32 albumId, bytes32 salt) external {
        bytes32 structHash = keccak256(
            abi.encode(
                REVOKE, albumId, salt, authorization.signer, authorization.nonce, authorization.deadline
            )
        );
        _ownAlbum(albumId, _authorize(authorization, structHash));
        _revoke(albumId, salt);
    }

    /// @inheritdoc IKeyRegistry
    function revokeBatch(bytes32 albumId, bytes32[] calldata salts) external {
        _ownAlbum(albumId, msg.sender);
        _revokeAll(albumId, salts);
    }

    function _grant(address caller, GrantParams calldata params) private returns (bytes32 grantId) {
        uint32 current = _ownAlbum(params.album, caller).currentKeeperSet;
        bytes32 head;
        (grantId, head) = _create(params, current, GrantWord.inSet(params.keeperSet));
        _grants[grantId].head = head;
    }

    /// @dev Heads are hashed as they stand, one after the other. Two of them are as long as a link of a grant's chain;
    ///      still no delivery is accepted for a head that no commit made: it would need a link or a leaf, 64 and 96
    ///      bytes, with the hash of a grant's own 192.
    function _grantBatch(Album storage record, bytes32 albumId, GrantParams[] calldata grants)
        private
        returns (bytes32[] memory grantIds)
    {
        uint32 batch = _batchCount + 1;
        if (batch > GrantWord.MAX_SOURCE) revert BatchesExhausted();
        _batchCount = batch;
        uint32 current = record.currentKeeperSet;
        grantIds = new bytes32[](grants.length);
        bytes32[] memory heads = new bytes32[](grants.length);
        for (uint256 i = 0; i < grants.length; ++i) {
            if (grants[i].album != albumId) revert MixedAlbums(albumId, grants[i].album);
            (grantIds[i], heads[i]) = _create(grants[i], current, GrantWord.inBatch(batch));
        }
        bytes32 head = keccak256(abi.encodePacked(heads));
        _batches[batch] = Batch(current, head);
        emit GrantsBatched(albumId, batch, head, grantIds);
    }

    /// @dev The caller has checked the owner, and keeps the head.
    function _create(GrantParams calldata params, uint32 current, uint256 source)
        private
        returns (bytes32 grantId, bytes32 head)
    {
        if (params.recipient == address(0)) revert ZeroAddress();
        if (params.scopeCommit == 0) revert ZeroCommit();
        if (params.keeperSet != 0 && params.keeperSet != current) {
            revert NotCurrentKeeperSet(params.keeperSet, current);
        }
        if (params.expiry != 0 && params.expiry <= block.timestamp) revert ExpiryPassed(params.expiry);
        Key storage sealedTo = _keys[params.recipient][params.keyVersion];
        if (sealedTo.status != KeyStatus.Active) {
            revert StaleKey(params.recipient, params.keyVersion, sealedTo.status);
        }
        uint8 suite = sealedTo.suite;
        grantId = keccak256(abi.encode(params.album, params.salt));
        if (_grants[grantId].word != 0) revert GrantExists(grantId);
        _grants[grantId].word = GrantWord.pack(params.recipient, params.expiry, source, params.keeperSet == 0);
        head = keccak256(
            abi.encode(
                grantId, params.album, params.scopeCommit, params.keyVersion, suite, keccak256(params.payload)
            )
        );
        emit GrantCreated(
            grantId,
            params.album,
            params.recipient,
            params.scopeCommit,
            params.keyVersion,
            params.expiry,
            params.keeperSet,
            suite,
            params.payload
        );
    }

    function _revokeAll(bytes32 albumId, bytes32[] calldata salts) private {
        for (uint256 i = 0; i < salts.length; ++i) {
            _revoke(albumId, salts[i]);
        }
    }

    function _revoke(bytes32 albumId, bytes32 salt) private {
        bytes32 grantId = keccak256(abi.encode(albumId, salt));
        uint256 word = _grants[grantId].word;
        if (word == 0) revert NoSuchGrant(grantId);
        if (word & GrantWord.REVOKED != 0) revert GrantIsRevoked(grantId);
        _grants[grantId].word = word | GrantWord.REVOKED;
        emit GrantRevoked(grantId, word & GrantWord.OPENED != 0, word.released());
    }
}
