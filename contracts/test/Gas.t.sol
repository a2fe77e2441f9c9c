// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IKeyRegistry} from "../src/IKeyRegistry.sol";
import {Signing} from "./support/Signing.sol";

/// @dev Whole transactions (21,000 and calldata included), which is what `isolate` makes of each call.
///      Payloads have the sizes of ffem_chain/keys/grants.py; the registry has already served another album.
contract GasTest is Signing {
    uint256 internal constant ENVELOPE_1 = 82;
    uint256 internal constant ENVELOPE_2 = 1169;
    uint256 internal constant SCOPE = 43;
    uint256 internal constant SHARE_HEAD = 36;

    address internal keeper = actor("keeper");
    bytes32 internal album;

    function setUp() public override {
        super.setUp();
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

    // ------------------------------------------------------------------ of many at once

    uint32 internal constant MANY = 100;

    /// @dev Grants to as many recipients as there are, each with a key of its own: each is a storage slot more to read.
    function _many(bytes32 salt) internal returns (IKeyRegistry.GrantParams[] memory grants) {
        (,, uint32 current,) = registry.album(album);
        grants = new IKeyRegistry.GrantParams[](MANY);
        for (uint256 i = 0; i < MANY; ++i) {
            bytes32 seed = keccak256(abi.encode(salt, i));
            address to = address(bytes20(keccak256(abi.encode("recipient", i))));
            if (registry.activeKey(to, 1) == 0) {
                vm.prank(to);
                registry.registerKey(1, abi.encodePacked(hex"02", seed));
            }
            grants[i] = IKeyRegistry.GrantParams({
                album: album,
                salt: seed,
                scopeCommit: keccak256(abi.encode("scope", seed)),
                recipient: to,
                keyVersion: 1,
                expiry: 1_900_000_000,
                keeperSet: current,
                payload: stream(seed, 1 + ENVELOPE_1 + SCOPE + SHARE_HEAD + ENVELOPE_1)
            });
        }
    }

    /// forge-config: default.isolate = true
    function test_gas_captures() public {
        vm.prank(owner);
        registry.registerCaptures(album, keccak256("root"), keccak256("list"), MANY, 1);
        _measure("captures_100", 100 * 1_500);
    }

    /// forge-config: default.isolate = true
    function test_gas_batch() public {
        IKeyRegistry.GrantParams[] memory grants = _many("first");
        checkEq(grants[0].payload.length, 244, "size of a payload");
        vm.prank(owner);
        bytes32[] memory ids = registry.grantBatch(grants);
        _measure("batch_100", 100 * 45_000);
        (bytes32 head, bytes memory share) = (registry.grantState(ids[0]).head, stream("share", ENVELOPE_1));
        vm.prank(grants[0].recipient);
        registry.requestAccess(ids[0], abi.encodePacked(hex"0102", stream("request", 32)));
        _measure("batch_request", 37_000);
        vm.prank(keeper);
        registry.commitRelease(ids[0], 1, 0, keccak256(share));
        _measure("batch_commit", 68_000);
        vm.prank(keeper);
        registry.deliver(ids[0], 1, 0, head, new bytes32[](0), share);
        _measure("batch_deliver", 32_000);
        bytes32[] memory salts = new bytes32[](MANY);
        for (uint256 i = 0; i < MANY; ++i) {
            salts[i] = grants[i].salt;
        }
        (bytes32[] memory going, bytes32[] memory gone) = (new bytes32[](10), new bytes32[](90));
        for (uint256 i = 0; i < MANY; ++i) {
            if (i < 10) going[i] = salts[i];
            else gone[i - 10] = salts[i];
        }
        grants = _many("next");
        vm.prank(owner);
        registry.rotate(album, keccak256("commit 2"), going, grants);
        _measure("rotate_10_100", 100 * 45_000 + 10 * 12_000 + 55_000);
        vm.prank(owner);
        registry.revokeBatch(album, gone);
        _measure("revoke_90", 90 * 12_000);
    }

    // ------------------------------------------------------------------ by signature

    uint256 internal constant SIGNER = 0xa11ce;

    /// @dev The signature and the nonce's log and slot, on top of the direct call. No ceilings are set for these.
    /// forge-config: default.isolate = true
    function test_gas_signed() public {
        (owner, recipient) = (vm.addr(SIGNER), vm.addr(SIGNER));
        album = _album(owner);
        bytes memory data =
            abi.encodeCall(IKeyRegistry.registerKey, (1, abi.encodePacked(hex"02", stream("key 1", 32))));
        _relay("signed_key", data, 0);
        bytes32 id = _grant(ENVELOPE_1, 1, 1, keccak256("grant"));
        data = abi.encodeCall(
            IKeyRegistry.requestAccess, (id, abi.encodePacked(hex"0102", stream("request", 32)))
        );
        _relay("signed_request", data, 1);
        (,, uint32 current,) = registry.album(album);
        IKeyRegistry.GrantParams memory params = IKeyRegistry.GrantParams({
            album: album,
            salt: keccak256("next"),
            scopeCommit: keccak256("scope"),
            recipient: recipient,
            keyVersion: 1,
            expiry: 1_900_000_000,
            keeperSet: current,
            payload: stream("payload", 244)
        });
        _relay("signed_grant", abi.encodeCall(IKeyRegistry.grant, (params)), 2);
        _relay("signed_revoke", abi.encodeCall(IKeyRegistry.revoke, (album, keccak256("grant"))), 3);
        data = abi.encodeCall(IKeyRegistry.publishRecovery, (1, stream("recovery", ENVELOPE_1)));
        _relay("signed_recovery", data, 4);
    }

    function _relay(string memory name, bytes memory direct, uint256 nonce) internal {
        uint256 deadline = 1_800_003_600;
        bytes32 digest = digestOf(domain(), structOf(owner, direct, nonce, deadline));
        bytes memory data =
            relayedCall(direct, IKeyRegistry.Authorization(owner, nonce, deadline, signed(SIGNER, digest)));
        vm.prank(keeper);
        (bool ok,) = address(registry).call(data);
        check(ok, name);
        _measure(name, type(uint256).max);
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
