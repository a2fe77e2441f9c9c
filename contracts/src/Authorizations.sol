// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP7702Utils} from "@openzeppelin/contracts/account/utils/EIP7702Utils.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {BitMaps} from "@openzeppelin/contracts/utils/structs/BitMaps.sol";
import {IKeyRegistry} from "./IKeyRegistry.sol";
import {Layout} from "./Layout.sol";

/// @title Calls by signature
/// @notice EIP-712 with a salt, unordered nonces as in Uniswap's Permit2.
abstract contract Authorizations is Layout {
    using BitMaps for BitMaps.BitMap;

    bytes32 private constant DOMAIN = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
    );
    bytes32 internal constant REGISTER_KEY =
        keccak256("RegisterKey(uint8 suite,bytes publicKey,address signer,uint256 nonce,uint256 deadline)");
    bytes32 internal constant SET_KEY_STATUS =
        keccak256("SetKeyStatus(uint32 version,uint8 status,address signer,uint256 nonce,uint256 deadline)");
    bytes32 internal constant PUBLISH_RECOVERY = keccak256(
        "PublishRecovery(uint32 version,bytes sealedKey,address signer,uint256 nonce,uint256 deadline)"
    );
    bytes32 internal constant REQUEST_ACCESS = keccak256(
        "RequestAccess(bytes32 grantId,bytes requestKey,address signer,uint256 nonce,uint256 deadline)"
    );
    bytes32 internal constant GRANT = keccak256(
        "Grant(bytes32 album,bytes32 salt,bytes32 scopeCommit,address recipient,uint32 keyVersion,uint40 expiry,"
        "uint32 keeperSet,bytes payload,address signer,uint256 nonce,uint256 deadline)"
    );
    bytes32 internal constant REVOKE =
        keccak256("Revoke(bytes32 album,bytes32 salt,address signer,uint256 nonce,uint256 deadline)");

    /// @inheritdoc IKeyRegistry
    bytes32 public immutable deploymentId;

    /// @param salt Random; tells this deployment from any other, also on a development chain started over.
    constructor(bytes32 salt) {
        deploymentId = keccak256(abi.encode(block.chainid, address(this), block.timestamp, salt));
    }

    /// @inheritdoc IKeyRegistry
    function useNonces(uint256 word, uint256 mask) external {
        _nonces[msg.sender]._data[word] |= mask;
        emit NoncesUsed(msg.sender, word, mask);
    }

    /// @inheritdoc IKeyRegistry
    function nonceUsed(address wallet, uint256 nonce) external view returns (bool) {
        return _nonces[wallet].get(nonce);
    }

    /// @dev Uses the authorization up for a struct with this hash, or reverts. Returns whose call it is.
    function _authorize(Authorization calldata authorization, bytes32 structHash)
        internal
        returns (address signer)
    {
        signer = authorization.signer;
        uint256 nonce = authorization.nonce;
        if (block.timestamp > authorization.deadline) revert SignatureExpired(authorization.deadline);
        if (_nonces[signer].get(nonce)) revert NonceUsed(signer, nonce);
        _nonces[signer].set(nonce);
        emit NoncesUsed(signer, nonce >> 8, 1 << (nonce & 0xff));
        bytes32 digest = MessageHashUtils.toTypedDataHash(_domainSeparator(), structHash);
        if (!_isSigned(signer, digest, authorization.signature)) revert BadSignature(signer);
    }

    /// @dev Computed in every call: after a fork of the chain its id is another one.
    function _domainSeparator() private view returns (bytes32) {
        return keccak256(
            abi.encode(
                DOMAIN, keccak256("ffem-chain"), keccak256("1"), block.chainid, address(this), deploymentId
            )
        );
    }

    /// @dev A delegation (EIP-7702) is code beside a key that still signs; other code has no key.
    function _isSigned(address signer, bytes32 digest, bytes calldata signature) private view returns (bool) {
        bool hasCode = signer.code.length != 0;
        if (!hasCode || EIP7702Utils.fetchDelegate(signer) != address(0)) {
            (address recovered, ECDSA.RecoverError problem,) = ECDSA.tryRecoverCalldata(digest, signature);
            if (problem == ECDSA.RecoverError.NoError && recovered == signer) return true;
        }
        return hasCode && SignatureChecker.isValidERC1271SignatureNowCalldata(signer, digest, signature);
    }
}
