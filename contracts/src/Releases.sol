// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Authorizations} from "./Authorizations.sol";
import {GrantWord} from "./GrantWord.sol";
import {IKeyRegistry} from "./IKeyRegistry.sol";

/// @title Requests of recipients, commits and deliveries of keepers
abstract contract Releases is Authorizations {
    using GrantWord for uint256;

    /// @inheritdoc IKeyRegistry
    function requestAccess(bytes32 grantId, bytes calldata requestKey) external returns (uint8 seq) {
        return _request(msg.sender, grantId, requestKey);
    }

    /// @inheritdoc IKeyRegistry
    function requestAccessFor(
        Authorization calldata authorization,
        bytes32 grantId,
        bytes calldata requestKey
    ) external returns (uint8 seq) {
        bytes32 structHash = keccak256(
            abi.encode(
                REQUEST_ACCESS,
                grantId,
                keccak256(requestKey),
                authorization.signer,
                authorization.nonce,
                authorization.deadline
            )
        );
        return _request(_authorize(authorization, structHash), grantId, requestKey);
    }

    /// @inheritdoc IKeyRegistry
    function commitRelease(bytes32 grantId, uint8 seq, uint8 index, bytes32 digest) external {
        uint256 word = _usable(grantId);
        uint32 keepers = _keeperSetOf(word);
        Member storage member = _members[keepers][index];
        if (index >= member.count || member.keeper != msg.sender) revert NotKeeper(keepers, msg.sender);
        if (seq == 0 || seq != word.seq()) revert StaleRequest(grantId, seq, word.seq());
        if (word.hasAnswered(index)) revert AlreadyCommitted(grantId, seq, index);
        word = word.answeredBy(index);
        bool opens = word & GrantWord.OPENED == 0 && _popcount(word.released()) >= member.threshold;
        if (opens) word |= GrantWord.OPENED;
        _grants[grantId].word = word;
        _grants[grantId].head = _chain(_headOf(grantId, word), _leaf(seq, index, digest));
        emit ReleaseCommitted(grantId, seq, index, digest);
        if (opens) emit GrantOpened(grantId);
    }

    /// @inheritdoc IKeyRegistry
    function deliver(
        bytes32 grantId,
        uint8 seq,
        uint8 index,
        bytes32 previousHead,
        bytes32[] calldata laterLeaves,
        bytes calldata sealedShare
    ) external {
        bytes32 head = _chain(previousHead, _leaf(seq, index, keccak256(sealedShare)));
        for (uint256 i = 0; i < laterLeaves.length; ++i) {
            head = _chain(head, laterLeaves[i]);
        }
        if (head != _grants[grantId].head) revert NotCommitted(grantId, head);
        emit ShareDelivered(grantId, seq, index, sealedShare);
    }

    /// @inheritdoc IKeyRegistry
    function grantState(bytes32 grantId) external view returns (GrantView memory) {
        uint256 word = _grants[grantId].word;
        return GrantView({
            status: _status(word),
            recipient: word.recipient(),
            expiry: word.expiry(),
            keeperSet: _keeperSetOf(word),
            seq: word.seq(),
            released: word.released(),
            opened: word & GrantWord.OPENED != 0,
            revoked: word & GrantWord.REVOKED != 0,
            head: _headOf(grantId, word),
            batch: word.batch()
        });
    }

    /// @inheritdoc IKeyRegistry
    function openableBy(address wallet, bytes32[] calldata grantIds)
        external
        view
        returns (GrantStatus[] memory result)
    {
        result = new GrantStatus[](grantIds.length);
        for (uint256 i = 0; i < grantIds.length; ++i) {
            uint256 word = _grants[grantIds[i]].word;
            if (word.recipient() == wallet) result[i] = _status(word);
        }
    }

    function _request(address caller, bytes32 grantId, bytes calldata requestKey)
        private
        returns (uint8 seq)
    {
        uint256 word = _usable(grantId);
        if (word.recipient() != caller) revert NotRecipient(grantId, caller);
        if (word.isDirect()) revert GrantIsDirect(grantId);
        seq = word.seq();
        if (seq == type(uint8).max) revert TooManyRequests(grantId);
        ++seq;
        _grants[grantId].word = word.requested();
        emit AccessRequested(grantId, seq, requestKey);
    }

    /// @dev The grant's word, where it may gain a request or a commit.
    function _usable(bytes32 grantId) private view returns (uint256 word) {
        word = _grants[grantId].word;
        if (word == 0) revert NoSuchGrant(grantId);
        if (word & GrantWord.REVOKED != 0) revert GrantIsRevoked(grantId);
        if (word.isExpired()) revert GrantIsExpired(grantId, word.expiry());
    }

    function _status(uint256 word) private view returns (GrantStatus) {
        if (word == 0) return GrantStatus.None;
        if (word & GrantWord.REVOKED != 0) return GrantStatus.Revoked;
        if (word.isExpired()) return GrantStatus.Expired;
        return word & GrantWord.OPENED != 0 ? GrantStatus.Opened : GrantStatus.Live;
    }

    /// @dev 0 for a direct grant, which has no member.
    function _keeperSetOf(uint256 word) private view returns (uint32) {
        uint32 batch = word.batch();
        if (batch == 0) return word.keeperSet();
        return word.isDirect() ? 0 : _batches[batch].keeperSet;
    }

    function _headOf(bytes32 grantId, uint256 word) private view returns (bytes32 head) {
        head = _grants[grantId].head;
        if (head == 0) head = _batches[word.batch()].head;
    }

    function _leaf(uint8 seq, uint8 index, bytes32 digest) private pure returns (bytes32) {
        return keccak256(abi.encode(seq, index, digest));
    }

    /// @dev keccak256(abi.encode(head, leaf)), in the scratch space.
    function _chain(bytes32 head, bytes32 leaf) private pure returns (bytes32 result) {
        assembly ("memory-safe") {
            mstore(0x00, head)
            mstore(0x20, leaf)
            result := keccak256(0x00, 0x40)
        }
    }

    function _popcount(uint8 bits) private pure returns (uint256 count) {
        for (; bits != 0; bits &= bits - 1) {
            ++count;
        }
    }
}
