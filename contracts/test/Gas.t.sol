// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IKeyRegistry} from "../src/IKeyRegistry.sol";
import {KeyRegistry} from "../src/KeyRegistry.sol";
import {Test} from "./support/Test.sol";

/// @dev Whole transactions (21,000 and calldata included), which is what `isolate` makes of each call.
///      Payloads have the sizes of ffem_chain/keys/grants.py; the registry has already served another album.
contract GasTest is Test {
    uint256 internal constant ENVELOPE_1 = 82;
    uint256 internal constant ENVELOPE_2 = 1169;
    uint256 internal constant SCOPE = 43;
    uint256 internal constant SHARE_HEAD = 36;

    KeyRegistry internal registry;
    address internal owner = actor("owner");
    address internal recipient = actor("recipient");
    address internal keeper = actor("keeper");
    bytes32 internal album;

    function setUp() public {
        vm.warp(1_800_000_000);
        registry = new KeyRegistry("salt");
        _album(actor("another owner"));
        album = _album(owner);
        vm.prank(recipient);
        registry.registerKey(1, abi.encodePacked(hex"02", stream("key 1", 32)));
        vm.prank(recipient);
        registry.registerKey(2, stream("key 2", 1216));
    }

    function _album(address who) internal returns (bytes32 id) {
        vm.prank(who);
        id = registry.createAlbum(keccak256("album"), keccak256("commit"), _keepers(1), 1);
        _acceptLatest(id, 1);
    }

    function _keepers(uint256 count) internal view returns (address[] memory keepers) {
        keepers = new address[](count);
        keepers[0] = keeper;
        for (uint256 i = 1; i < count; ++i) {
            keepers[i] = actor(i == 1 ? "second keeper" : "third keeper");
        }
    }

    function _acceptLatest(bytes32 id, uint256 count) internal {
        (,,, uint32 latest) = registry.album(id);
        for (uint256 i = 0; i < count; ++i) {
            vm.prank(_keepers(count)[i]);
            registry.acceptKeeperSet(latest);
        }
    }

    function _measure(string memory name, uint256 ceiling) internal {
        uint256 used = vm.lastCallGas().gasTotalUsed;
        vm.snapshotValue("transactions", name, used);
        checkAtMost(used, ceiling, name);
    }

    function _grant(uint256 envelope, uint32 version, uint256 keepers, bytes32 salt)
        internal
        returns (bytes32)
    {
        (,, uint32 current,) = registry.album(album);
        IKeyRegistry.GrantParams memory params = IKeyRegistry.GrantParams({
            album: album,
            salt: salt,
            scopeCommit: keccak256("scope"),
            recipient: recipient,
            keyVersion: version,
            expiry: 1_900_000_000,
            keeperSet: keepers == 0 ? 0 : current,
            payload: stream("payload", 1 + envelope + SCOPE + keepers * (SHARE_HEAD + envelope))
        });
        vm.prank(owner);
        return registry.grant(params);
    }

    /// forge-config: default.isolate = true
    function test_gas() public {
        vm.prank(owner);
        registry.registerCapture(
            album, keccak256("uid"), keccak256("digest"), keccak256("key"), 1, 29_000_000
        );
        _measure("capture", 56_000);
        bytes32 id = _grant(ENVELOPE_1, 1, 1, keccak256("grant"));
        _measure("grant", 118_000);
        (bytes32 head, bytes memory share) = (registry.grantState(id).head, stream("share", ENVELOPE_1));
        vm.prank(recipient);
        registry.requestAccess(id, abi.encodePacked(hex"0102", stream("request", 32)));
        _measure("request", 37_000);
        vm.prank(keeper);
        registry.commitRelease(id, 1, 0, keccak256(share));
        _measure("commit", 43_000);
        vm.prank(keeper);
        registry.deliver(id, 1, 0, head, new bytes32[](0), share);
        _measure("deliver", 32_000);
        vm.prank(owner);
        registry.revoke(album, keccak256("grant"));
        _measure("revoke", 39_000);
    }

    /// @dev Suite 2 for the recipient and the keeper; and suite 1 with three keepers. No ceilings are set for these.
    /// forge-config: default.isolate = true
    function test_gas_largerGrants() public {
        _grant(ENVELOPE_2, 2, 1, keccak256("suite 2"));
        _measure("grant_suite2", type(uint256).max);
        vm.prank(owner);
        registry.proposeKeepers(album, _keepers(3), 2);
        _acceptLatest(album, 3);
        _grant(ENVELOPE_1, 1, 3, keccak256("three keepers"));
        _measure("grant_three_keepers", type(uint256).max);
    }
}
