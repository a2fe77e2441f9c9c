// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IKeyRegistry} from "../../src/IKeyRegistry.sol";
import {Multisig} from "./Multisig.sol";
import {World} from "./World.sol";

/// @dev Calls by signature as wallets and relays make them: from the calldata of the direct call. Types and domain are
///      written out here again, so that the contract's own are compared with them.
abstract contract Signing is World {
    uint256 internal constant SECP256K1_ORDER =
        0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    string internal constant REGISTER_KEY =
        "RegisterKey(uint8 suite,bytes publicKey,address signer,uint256 nonce,uint256 deadline)";
    string internal constant SET_KEY_STATUS =
        "SetKeyStatus(uint32 version,uint8 status,address signer,uint256 nonce,uint256 deadline)";
    string internal constant PUBLISH_RECOVERY =
        "PublishRecovery(uint32 version,bytes sealedKey,address signer,uint256 nonce,uint256 deadline)";
    string internal constant REQUEST_ACCESS =
        "RequestAccess(bytes32 grantId,bytes requestKey,address signer,uint256 nonce,uint256 deadline)";
    string internal constant GRANT =
        "Grant(bytes32 album,bytes32 salt,bytes32 scopeCommit,address recipient,uint32 keyVersion,uint40 expiry,uint32 keeperSet,bytes payload,address signer,uint256 nonce,uint256 deadline)";
    string internal constant REVOKE =
        "Revoke(bytes32 album,bytes32 salt,address signer,uint256 nonce,uint256 deadline)";
    string internal constant DOMAIN =
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)";

    function domainOf(uint256 chainId, address verifying, bytes32 salt) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256(bytes(DOMAIN)), keccak256("ffem-chain"), keccak256("1"), chainId, verifying, salt
            )
        );
    }

    function domain() internal view returns (bytes32) {
        return domainOf(block.chainid, address(registry), registry.deploymentId());
    }

    function digestOf(bytes32 domain_, bytes32 structHash) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domain_, structHash));
    }

    /// @dev What is signed for a call of `who`, beside the domain.
    function structOf(address who, bytes memory direct, uint256 nonce, uint256 deadline)
        internal
        pure
        returns (bytes32)
    {
        (bytes4 name, bytes memory values) = _split(direct);
        if (name == IKeyRegistry.registerKey.selector) {
            (uint8 suite, bytes memory publicKey_) = abi.decode(values, (uint8, bytes));
            return
                keccak256(abi.encode(_type(REGISTER_KEY), suite, keccak256(publicKey_), who, nonce, deadline));
        }
        if (name == IKeyRegistry.setKeyStatus.selector) {
            (uint32 version, uint8 status) = abi.decode(values, (uint32, uint8));
            return keccak256(abi.encode(_type(SET_KEY_STATUS), version, status, who, nonce, deadline));
        }
        if (name == IKeyRegistry.publishRecovery.selector) {
            (uint32 version, bytes memory key) = abi.decode(values, (uint32, bytes));
            return
                keccak256(abi.encode(_type(PUBLISH_RECOVERY), version, keccak256(key), who, nonce, deadline));
        }
        if (name == IKeyRegistry.requestAccess.selector) {
            (bytes32 id, bytes memory key) = abi.decode(values, (bytes32, bytes));
            return keccak256(abi.encode(_type(REQUEST_ACCESS), id, keccak256(key), who, nonce, deadline));
        }
        if (name == IKeyRegistry.grant.selector) return _grantStruct(who, values, nonce, deadline);
        check(name == IKeyRegistry.revoke.selector, "a call that cannot be signed");
        (bytes32 album, bytes32 salt) = abi.decode(values, (bytes32, bytes32));
        return keccak256(abi.encode(_type(REVOKE), album, salt, who, nonce, deadline));
    }

    function _grantStruct(address who, bytes memory values, uint256 nonce, uint256 deadline)
        private
        pure
        returns (bytes32)
    {
        IKeyRegistry.GrantParams memory p = abi.decode(values, (IKeyRegistry.GrantParams));
        return keccak256(
            bytes.concat(
                abi.encode(_type(GRANT), p.album, p.salt, p.scopeCommit, p.recipient, p.keyVersion),
                abi.encode(p.expiry, p.keeperSet, keccak256(p.payload), who, nonce, deadline)
            )
        );
    }

    /// @dev The calldata by which anyone makes the call for the authorization's signer.
    function relayedCall(bytes memory direct, IKeyRegistry.Authorization memory a)
        internal
        pure
        returns (bytes memory)
    {
        (bytes4 name, bytes memory values) = _split(direct);
        if (name == IKeyRegistry.registerKey.selector) {
            (uint8 suite, bytes memory publicKey_) = abi.decode(values, (uint8, bytes));
            return abi.encodeCall(IKeyRegistry.registerKeyFor, (a, suite, publicKey_));
        }
        if (name == IKeyRegistry.setKeyStatus.selector) {
            (uint32 version, IKeyRegistry.KeyStatus status) =
                abi.decode(values, (uint32, IKeyRegistry.KeyStatus));
            return abi.encodeCall(IKeyRegistry.setKeyStatusFor, (a, version, status));
        }
        if (name == IKeyRegistry.publishRecovery.selector) {
            (uint32 version, bytes memory key) = abi.decode(values, (uint32, bytes));
            return abi.encodeCall(IKeyRegistry.publishRecoveryFor, (a, version, key));
        }
        if (name == IKeyRegistry.requestAccess.selector) {
            (bytes32 id, bytes memory key) = abi.decode(values, (bytes32, bytes));
            return abi.encodeCall(IKeyRegistry.requestAccessFor, (a, id, key));
        }
        if (name == IKeyRegistry.grant.selector) {
            return abi.encodeCall(IKeyRegistry.grantFor, (a, abi.decode(values, (IKeyRegistry.GrantParams))));
        }
        check(name == IKeyRegistry.revoke.selector, "a call that cannot be signed");
        (bytes32 album, bytes32 salt) = abi.decode(values, (bytes32, bytes32));
        return abi.encodeCall(IKeyRegistry.revokeFor, (a, album, salt));
    }

    function signed(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    /// @dev Of a wallet of two keys, both of which must sign.
    function signedByBoth(Multisig wallet, uint256 a, uint256 b, bytes32 digest)
        internal
        view
        returns (bytes memory)
    {
        (uint256 low, uint256 high) = vm.addr(a) < vm.addr(b) ? (a, b) : (b, a);
        return bytes.concat(signed(low, wallet.bound(digest)), signed(high, wallet.bound(digest)));
    }

    function multisigOf(uint256 a, uint256 b) internal returns (Multisig) {
        address[] memory owners = new address[](2);
        (owners[0], owners[1]) = (vm.addr(a), vm.addr(b));
        return new Multisig(owners, 2);
    }

    function _split(bytes memory direct) private pure returns (bytes4 name, bytes memory values) {
        // the selector of the call
        // forge-lint: disable-next-line(unsafe-typecast)
        name = bytes4(direct);
        values = new bytes(direct.length - 4);
        for (uint256 i = 0; i < values.length; ++i) {
            values[i] = direct[4 + i];
        }
    }

    function _type(string memory words) private pure returns (bytes32) {
        return keccak256(bytes(words));
    }
}
