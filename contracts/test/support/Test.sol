// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "./Vm.sol";

/// @dev What these tests need of a test library. A failed assertion reverts with its name and both values.
abstract contract Test {
    bool public constant IS_TEST = true;
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    error Different(string what, bytes actual, bytes expected);
    error NotTrue(string what);
    error Above(string what, uint256 actual, uint256 ceiling);

    function check(bool condition, string memory what) internal pure {
        if (!condition) revert NotTrue(what);
    }

    function checkEq(uint256 actual, uint256 expected, string memory what) internal pure {
        if (actual != expected) revert Different(what, abi.encode(actual), abi.encode(expected));
    }

    function checkEq(address actual, address expected, string memory what) internal pure {
        if (actual != expected) revert Different(what, abi.encode(actual), abi.encode(expected));
    }

    function checkEq(bytes32 actual, bytes32 expected, string memory what) internal pure {
        if (actual != expected) revert Different(what, abi.encode(actual), abi.encode(expected));
    }

    function checkEq(bytes memory actual, bytes memory expected, string memory what) internal pure {
        if (keccak256(actual) != keccak256(expected)) revert Different(what, actual, expected);
    }

    function checkAtMost(uint256 actual, uint256 ceiling, string memory what) internal pure {
        if (actual > ceiling) revert Above(what, actual, ceiling);
    }

    /// @dev A value of [low, high], spread evenly enough for fuzzing.
    function bound(uint256 value, uint256 low, uint256 high) internal pure returns (uint256) {
        if (value >= low && value <= high) return value;
        uint256 size = high - low + 1;
        return size == 0 ? value : low + value % size;
    }

    /// @dev `length` bytes of a stream with this seed, as random as sealed bytes are.
    function stream(bytes32 seed, uint256 length) internal pure returns (bytes memory result) {
        result = new bytes(length);
        for (uint256 i = 0; i < length; ++i) {
            if (i % 32 == 0) seed = keccak256(abi.encode(seed));
            result[i] = seed[i % 32];
        }
    }

    function actor(string memory name) internal pure returns (address) {
        return address(uint160(uint256(keccak256(bytes(name)))));
    }
}
