// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Authorizations} from "./Authorizations.sol";
import {IKeyRegistry} from "./IKeyRegistry.sol";

/// @title Encryption keys of wallets
abstract contract Keys is Authorizations {
    uint8 private constant SUITE_SECP256K1 = 1;
    uint8 private constant SUITE_XWING = 2;
    uint256 private constant SECP256K1_KEY_LENGTH = 33;
    uint256 private constant XWING_KEY_LENGTH = 1216;

    /// @inheritdoc IKeyRegistry
    function registerKey(uint8 suite, bytes calldata publicKey) external returns (uint32 version) {
        return _registerKey(msg.sender, suite, publicKey);
    }

    /// @inheritdoc IKeyRegistry
    function registerKeyFor(Authorization calldata authorization, uint8 suite, bytes calldata publicKey)
        external
        returns (uint32 version)
    {
        bytes32 structHash = keccak256(
            abi.encode(
                REGISTER_KEY,
                suite,
                keccak256(publicKey),
                authorization.signer,
                authorization.nonce,
                authorization.deadline
            )
        );
        return _registerKey(_authorize(authorization, structHash), suite, publicKey);
    }

    /// @inheritdoc IKeyRegistry
    function setKeyStatus(uint32 version, KeyStatus status) external {
        _setKeyStatus(msg.sender, version, status);
    }

    /// @inheritdoc IKeyRegistry
    function setKeyStatusFor(Authorization calldata authorization, uint32 version, KeyStatus status)
        external
    {
        bytes32 structHash = keccak256(
            abi.encode(
                SET_KEY_STATUS,
                version,
                status,
                authorization.signer,
                authorization.nonce,
                authorization.deadline
            )
        );
        _setKeyStatus(_authorize(authorization, structHash), version, status);
    }

    /// @inheritdoc IKeyRegistry
    function publishRecovery(uint32 version, bytes calldata sealedKey) external {
        _publishRecovery(msg.sender, version, sealedKey);
    }

    /// @inheritdoc IKeyRegistry
    function publishRecoveryFor(
        Authorization calldata authorization,
        uint32 version,
        bytes calldata sealedKey
    ) external {
        bytes32 structHash = keccak256(
            abi.encode(
                PUBLISH_RECOVERY,
                version,
                keccak256(sealedKey),
                authorization.signer,
                authorization.nonce,
                authorization.deadline
            )
        );
        _publishRecovery(_authorize(authorization, structHash), version, sealedKey);
    }

    /// @inheritdoc IKeyRegistry
    function key(address wallet, uint32 version)
        external
        view
        returns (uint8 suite, KeyStatus status, bytes30 keyHash)
    {
        Key storage record = _keys[wallet][version];
        return (record.suite, record.status, record.keyHash);
    }

    /// @inheritdoc IKeyRegistry
    function activeKey(address wallet, uint8 suite) external view returns (uint32 version) {
        return _activeKey[wallet][suite];
    }

    function _registerKey(address wallet, uint8 suite, bytes calldata publicKey)
        private
        returns (uint32 version)
    {
        if (suite == SUITE_SECP256K1) {
            if (publicKey.length != SECP256K1_KEY_LENGTH || (publicKey[0] != 0x02 && publicKey[0] != 0x03)) {
                revert BadPublicKey(suite, publicKey.length);
            }
        } else if (suite == SUITE_XWING) {
            if (publicKey.length != XWING_KEY_LENGTH) revert BadPublicKey(suite, publicKey.length);
        } else {
            revert UnknownSuite(suite);
        }
        uint32 former = _activeKey[wallet][suite];
        if (former != 0) {
            _keys[wallet][former].status = KeyStatus.Retired;
            emit KeyStatusChanged(wallet, former, KeyStatus.Retired);
        }
        version = ++_keyCount[wallet];
        _activeKey[wallet][suite] = version;
        _keys[wallet][version] = Key(bytes30(keccak256(publicKey)), suite, KeyStatus.Active);
        emit KeyRegistered(wallet, version, suite, publicKey);
    }

    function _setKeyStatus(address wallet, uint32 version, KeyStatus status) private {
        Key storage record = _keys[wallet][version];
        KeyStatus from = record.status;
        if (from == KeyStatus.None) revert NoSuchKey(wallet, version);
        if (status <= from) revert KeyStatusNotForward(from, status);
        if (from == KeyStatus.Active) delete _activeKey[wallet][record.suite];
        record.status = status;
        emit KeyStatusChanged(wallet, version, status);
    }

    function _publishRecovery(address wallet, uint32 version, bytes calldata sealedKey) private {
        if (_keys[wallet][version].status == KeyStatus.None) revert NoSuchKey(wallet, version);
        emit RecoveryPublished(wallet, version, sealedKey);
    }
}
