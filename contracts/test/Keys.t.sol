// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IKeyRegistry} from "../src/IKeyRegistry.sol";
import {World} from "./support/World.sol";
import {Vm} from "./support/Vm.sol";

contract KeysTest is World {
    function _register(uint8 suite, bytes memory key) internal pure returns (bytes memory) {
        return abi.encodeCall(IKeyRegistry.registerKey, (suite, key));
    }

    function _setStatus(uint32 version, IKeyRegistry.KeyStatus status) internal pure returns (bytes memory) {
        return abi.encodeCall(IKeyRegistry.setKeyStatus, (version, status));
    }

    function _checkKey(
        address who,
        uint32 version,
        uint8 suite,
        IKeyRegistry.KeyStatus status,
        bytes memory key
    ) internal view {
        (uint8 actualSuite, IKeyRegistry.KeyStatus actualStatus, bytes30 keyHash) = registry.key(who, version);
        checkEq(actualSuite, suite, "suite");
        checkEq(uint256(actualStatus), uint256(status), "status");
        checkEq(bytes32(keyHash), bytes32(bytes30(keccak256(key))), "hash of the key");
    }

    // ------------------------------------------------------------------ reverts

    function testFuzz_registerKey_UnknownSuite(address who, uint8 suite, bytes memory key) public {
        vm.assume(suite != 1 && suite != 2);
        refuses(who, _register(suite, key), abi.encodeWithSelector(IKeyRegistry.UnknownSuite.selector, suite));
    }

    function testFuzz_registerKey_BadPublicKey_length(address who, bool xwing, uint256 length) public {
        (uint8 suite, uint256 right) = xwing ? (2, 1216) : (1, 33);
        // lengths around the right ones of both suites are tried as often as all others
        length = length % 2 == 0 ? bound(length, 0, 1400) : (length % 4 == 1 ? 33 : 1216) + length % 3 - 1;
        vm.assume(length != right);
        bytes memory key = stream("key", length);
        if (length > 0) key[0] = 0x02;
        refuses(
            who,
            _register(suite, key),
            abi.encodeWithSelector(IKeyRegistry.BadPublicKey.selector, suite, length)
        );
    }

    function testFuzz_registerKey_BadPublicKey_prefix(address who, bytes1 prefix, bytes32 x) public {
        vm.assume(prefix != 0x02 && prefix != 0x03);
        refuses(
            who,
            _register(1, abi.encodePacked(prefix, x)),
            abi.encodeWithSelector(IKeyRegistry.BadPublicKey.selector, 1, 33)
        );
    }

    function testFuzz_setKeyStatus_NoSuchKey(address who, uint32 version, uint8 status) public {
        status = uint8(bound(status, 0, 3));
        addKey(recipient, 1, "key");
        vm.assume(who != recipient || version != 1);
        refuses(
            who,
            _setStatus(version, IKeyRegistry.KeyStatus(status)),
            abi.encodeWithSelector(IKeyRegistry.NoSuchKey.selector, who, version)
        );
    }

    function testFuzz_setKeyStatus_KeyStatusNotForward(uint8 from, uint8 to) public {
        from = uint8(bound(from, 1, 3));
        to = uint8(bound(to, 0, from));
        addKey(recipient, 1, "key");
        if (from > 1) {
            vm.prank(recipient);
            registry.setKeyStatus(1, IKeyRegistry.KeyStatus(from));
        }
        refuses(
            recipient,
            _setStatus(1, IKeyRegistry.KeyStatus(to)),
            abi.encodeWithSelector(IKeyRegistry.KeyStatusNotForward.selector, from, to)
        );
    }

    function testFuzz_setKeyStatus_noSuchStatus(uint8 status) public {
        status = uint8(bound(status, 4, 255));
        addKey(recipient, 1, "key");
        refuses(recipient, abi.encodeWithSelector(IKeyRegistry.setKeyStatus.selector, 1, status), "");
    }

    // ------------------------------------------------------------------ life

    function testFuzz_registerKey(address who, bool xwing, bytes32 seed) public {
        uint8 suite = xwing ? 2 : 1;
        bytes memory key = publicKey(suite, seed);
        Vm.Log[] memory logs = logsOf(who, _register(suite, key));
        checkEq(logs.length, 1, "events");
        checkLog(
            logs[0],
            topicsOf(
                IKeyRegistry.KeyRegistered.selector, word(who), bytes32(uint256(1)), bytes32(uint256(suite))
            ),
            abi.encode(key)
        );
        _checkKey(who, 1, suite, IKeyRegistry.KeyStatus.Active, key);
        checkEq(registry.activeKey(who, suite), 1, "active key");
        checkEq(registry.activeKey(who, 3 - suite), 0, "active key of the other suite");
        (uint8 none,,) = registry.key(who, 2);
        checkEq(none, 0, "suite of no key");
    }

    /// @dev Versions count over both suites; the suites retire their keys apart.
    function testFuzz_registerKey_retiresTheFormerOne(bool xwing, bytes32 a, bytes32 b, bytes32 c) public {
        (uint8 suite, uint8 other) = xwing ? (2, 1) : (1, 2);
        checkEq(addKey(recipient, suite, a), 1, "first version");
        checkEq(addKey(recipient, other, b), 2, "second version");
        bytes memory key = publicKey(suite, c);
        Vm.Log[] memory logs = logsOf(recipient, _register(suite, key));
        checkEq(logs.length, 2, "events");
        checkLog(
            logs[0],
            topicsOf(IKeyRegistry.KeyStatusChanged.selector, word(recipient), bytes32(uint256(1))),
            abi.encode(IKeyRegistry.KeyStatus.Retired)
        );
        checkLog(
            logs[1],
            topicsOf(
                IKeyRegistry.KeyRegistered.selector,
                word(recipient),
                bytes32(uint256(3)),
                bytes32(uint256(suite))
            ),
            abi.encode(key)
        );
        _checkKey(recipient, 1, suite, IKeyRegistry.KeyStatus.Retired, publicKey(suite, a));
        _checkKey(recipient, 2, other, IKeyRegistry.KeyStatus.Active, publicKey(other, b));
        _checkKey(recipient, 3, suite, IKeyRegistry.KeyStatus.Active, key);
        checkEq(registry.activeKey(recipient, suite), 3, "active key");
        checkEq(registry.activeKey(recipient, other), 2, "active key of the other suite");
    }

    function testFuzz_setKeyStatus(bool xwing, uint8 status) public {
        uint8 suite = xwing ? 2 : 1;
        IKeyRegistry.KeyStatus to = IKeyRegistry.KeyStatus(bound(status, 2, 3));
        addKey(recipient, suite, "key");
        Vm.Log[] memory logs = logsOf(recipient, _setStatus(1, to));
        checkEq(logs.length, 1, "events");
        checkLog(
            logs[0],
            topicsOf(IKeyRegistry.KeyStatusChanged.selector, word(recipient), bytes32(uint256(1))),
            abi.encode(to)
        );
        _checkKey(recipient, 1, suite, to, publicKey(suite, "key"));
        checkEq(registry.activeKey(recipient, suite), 0, "active key");
    }

    /// @dev Ending an old key leaves the active one; a key that ended is not retired once more by its successor.
    function test_setKeyStatus_ofAnOldKey() public {
        addKey(recipient, 1, "a");
        addKey(recipient, 1, "b");
        logsOf(recipient, _setStatus(1, IKeyRegistry.KeyStatus.Compromised));
        checkEq(registry.activeKey(recipient, 1), 2, "active key");
        logsOf(recipient, _setStatus(2, IKeyRegistry.KeyStatus.Compromised));
        checkEq(registry.activeKey(recipient, 1), 0, "active key");
        checkEq(logsOf(recipient, _register(1, publicKey(1, "c"))).length, 1, "events");
        _checkKey(recipient, 2, 1, IKeyRegistry.KeyStatus.Compromised, publicKey(1, "b"));
        checkEq(registry.activeKey(recipient, 1), 3, "active key");
    }

    function testFuzz_keysOfWalletsAreApart(address a, address b) public {
        vm.assume(a != b);
        addKey(a, 1, "a");
        checkEq(registry.activeKey(b, 1), 0, "active key");
        checkEq(addKey(b, 1, "b"), 1, "version");
        _checkKey(a, 1, 1, IKeyRegistry.KeyStatus.Active, publicKey(1, "a"));
    }

    // ------------------------------------------------------------------ the deployment

    function testFuzz_deploymentId(uint64 chain, uint40 time, bytes32 salt) public {
        vm.assume(chain != 0);
        vm.chainId(chain);
        vm.warp(time);
        registry = deployed(salt);
        checkEq(
            registry.deploymentId(),
            keccak256(abi.encode(chain, address(registry), time, salt)),
            "deployment id"
        );
    }

    function testFuzz_takesNoEther(uint96 amount, bytes4 selector, bool plain) public {
        vm.deal(address(this), uint256(amount) + 1);
        bytes memory data = plain ? bytes("") : abi.encodePacked(selector, new bytes(256));
        (bool ok,) = address(registry).call{value: uint256(amount) + 1}(data);
        check(!ok, "ether was taken");
        checkEq(address(registry).balance, 0, "balance");
    }
}
