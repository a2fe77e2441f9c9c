// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EnvelopeStores} from "../src/bench/EnvelopeStores.sol";
import {Test} from "./support/Test.sol";
import {Vm} from "./support/Vm.sol";

contract StoresTest is Test {
    uint256 internal constant MOST = 24_575;

    EnvelopeStores internal stores;

    function setUp() public {
        stores = EnvelopeStores(vm.deployCode("EnvelopeStores.sol:EnvelopeStores", ""));
    }

    function testFuzz_what_is_kept_comes_back(bytes32 id, bytes32 other, bytes memory payload) public {
        vm.assume(id != other);
        stores.inStorage(id, payload);
        stores.inCode(id, payload);
        checkEq(stores.fromStorage(id), payload, "from storage");
        checkEq(stores.fromCode(id), payload, "from code");
        checkEq(stores.fromStorage(other), "", "nothing under another id");
        checkEq(stores.fromCode(other), "", "nothing in code under another id");
    }

    function testFuzz_logs_hold_the_payload(bytes32 id, bytes memory payload) public {
        vm.recordLogs();
        stores.inLog(id, payload);
        stores.inLogWithDigest(id, payload);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        checkEq(logs.length, 2, "logs");
        for (uint256 i = 0; i < 2; ++i) {
            checkEq(logs[i].topics.length, 2, "topics");
            checkEq(logs[i].topics[0], EnvelopeStores.Kept.selector, "event");
            checkEq(logs[i].topics[1], id, "id");
            checkEq(abi.decode(logs[i].data, (bytes)), payload, "payload");
        }
        checkEq(stores.digest(id), keccak256(payload), "digest");
    }

    function test_code_ends_at_the_limit_of_code() public {
        bytes memory most = stream("most", MOST);
        stores.inCode("id", most);
        checkEq(stores.fromCode("id"), most, "the most");
        bytes memory call = abi.encodeCall(EnvelopeStores.inCode, ("id", stream("more", MOST + 1)));
        (bool ok, bytes memory answer) = address(stores).call(call);
        check(!ok, "one byte too many was kept");
        checkEq(answer, abi.encodeWithSelector(EnvelopeStores.TooLong.selector, MOST + 1), "revert");
    }

    /// @dev Its code costs 200 gas a byte; what is left after the attempt is enough to say so.
    function test_code_that_nobody_paid_for_is_refused() public {
        bytes memory call = abi.encodeCall(EnvelopeStores.inCode, ("id", stream("most", MOST)));
        (bool ok, bytes memory answer) = address(stores).call{gas: 4_000_000}(call);
        check(!ok, "kept without gas");
        checkEq(answer, abi.encodeWithSelector(EnvelopeStores.NotCreated.selector), "revert");
        checkEq(stores.fromCode("id"), "", "nothing is kept");
    }
}
