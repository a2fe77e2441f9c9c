// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @dev A wallet of several keys, like Safe's: `threshold` of its owners sign, in ascending order of their addresses, over
///      a hash that binds this wallet (so that no signature is of use to another one of the same owners), or send.
contract Multisig is IERC1271 {
    mapping(address who => bool) public isOwner;
    uint256 public threshold;

    error NotEnough();

    constructor(address[] memory owners, uint256 threshold_) {
        for (uint256 i = 0; i < owners.length; ++i) {
            isOwner[owners[i]] = true;
        }
        threshold = threshold_;
    }

    function bound(bytes32 hash) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), hash));
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) public view returns (bytes4) {
        if (signature.length != threshold * 65) return bytes4(0xffffffff);
        address last;
        for (uint256 i = 0; i < threshold; ++i) {
            (address who, ECDSA.RecoverError problem,) =
                ECDSA.tryRecoverCalldata(bound(hash), signature[i * 65:i * 65 + 65]);
            if (problem != ECDSA.RecoverError.NoError || !isOwner[who] || who <= last) {
                return bytes4(0xffffffff);
            }
            last = who;
        }
        return IERC1271.isValidSignature.selector;
    }

    /// @dev Makes a call that its owners have signed, such as one that replaces an owner.
    function execute(address target, bytes calldata data, bytes calldata signature) external {
        bytes32 hash = keccak256(abi.encode(target, data));
        if (this.isValidSignature(hash, signature) != IERC1271.isValidSignature.selector) revert NotEnough();
        (bool ok, bytes memory reply) = target.call(data);
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(reply, 0x20), mload(reply))
            }
        }
    }

    function replaceOwner(address former, address next) external {
        if (msg.sender != address(this)) revert NotEnough();
        (isOwner[former], isOwner[next]) = (false, true);
    }
}
