// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IKeyRegistry} from "../src/IKeyRegistry.sol";
import {World} from "./support/World.sol";
import {Vm} from "./support/Vm.sol";

contract GrantsTest is World {
    bytes4 internal constant SUPERSEDED = IKeyRegistry.NotCurrentKeeperSet.selector;

    function _grant(IKeyRegistry.GrantParams memory params) internal pure returns (bytes memory) {
        return abi.encodeCall(IKeyRegistry.grant, (params));
    }

    function _revoke(bytes32 album, bytes32 salt) internal pure returns (bytes memory) {
        return abi.encodeCall(IKeyRegistry.revoke, (album, salt));
    }

    function _checkState(bytes32 id, IKeyRegistry.GrantView memory expected) internal view {
        checkEq(abi.encode(registry.grantState(id)), abi.encode(expected), "state of the grant");
    }

    // ------------------------------------------------------------------ grant: reverts

    function testFuzz_grant_NoSuchAlbum(address who, IKeyRegistry.GrantParams memory params) public {
        ready(1, 1);
        vm.assume(params.album != albumOf(owner, "album"));
        refuses(who, _grant(params), abi.encodeWithSelector(IKeyRegistry.NoSuchAlbum.selector, params.album));
    }

    function testFuzz_grant_NotAlbumOwner(address who, IKeyRegistry.GrantParams memory params) public {
        vm.assume(who != owner);
        (params.album,) = ready(1, 1);
        refuses(
            who,
            _grant(params),
            abi.encodeWithSelector(IKeyRegistry.NotAlbumOwner.selector, params.album, who)
        );
    }

    function testFuzz_grant_ZeroAddress(IKeyRegistry.GrantParams memory params) public {
        (params.album,) = ready(1, 1);
        params.recipient = address(0);
        refuses(owner, _grant(params), abi.encodeWithSelector(IKeyRegistry.ZeroAddress.selector));
    }

    function testFuzz_grant_ZeroCommit(IKeyRegistry.GrantParams memory params) public {
        vm.assume(params.recipient != address(0));
        (params.album,) = ready(1, 1);
        params.scopeCommit = 0;
        refuses(owner, _grant(params), abi.encodeWithSelector(IKeyRegistry.ZeroCommit.selector));
    }

    function testFuzz_grant_NotCurrentKeeperSet(bytes32 salt, uint32 set) public {
        (bytes32 album, uint32 current) = ready(1, 1);
        vm.assume(set != 0 && set != current);
        refuses(owner, _grant(paramsOf(album, salt, set)), abi.encodeWithSelector(SUPERSEDED, set, current));
    }

    /// @dev Proposed, accepted by all but one: not yet.
    function testFuzz_grant_NotCurrentKeeperSet_notAccepted(uint8 count, uint8 missing) public {
        count = uint8(bound(count, 1, 8));
        missing = uint8(bound(missing, 0, count - 1));
        (bytes32 album, uint32 set) = addAlbum(owner, "album", count, 1);
        addKey(recipient, 1, "key");
        for (uint256 i = 0; i < count; ++i) {
            if (i == missing) continue;
            vm.prank(keeperAt(i));
            registry.acceptKeeperSet(set);
        }
        refuses(owner, _grant(paramsOf(album, "grant", set)), abi.encodeWithSelector(SUPERSEDED, set, 0));
    }

    /// @dev A set of the past, a proposed one, and one of another album with the same keepers.
    function test_grant_NotCurrentKeeperSet_others() public {
        (bytes32 album, uint32 former) = ready(2, 1);
        (, uint32 foreign) = addAlbum(stranger, "album", 2, 1);
        acceptAll(foreign);
        vm.prank(owner);
        uint32 current = registry.proposeKeepers(album, keepersOf(2), 2);
        acceptAll(current);
        vm.prank(owner);
        uint32 proposed = registry.proposeKeepers(album, keepersOf(3), 2);
        for (uint32 set = 1; set <= proposed; ++set) {
            if (set == current) continue;
            refuses(
                owner, _grant(paramsOf(album, "a", set)), abi.encodeWithSelector(SUPERSEDED, set, current)
            );
        }
        check(former < foreign && foreign < current && current < proposed, "the order of the sets");
        addGrant(album, "a", current);
    }

    function testFuzz_grant_ExpiryPassed(bytes32 salt, uint40 expiry, bool direct) public {
        (bytes32 album, uint32 set) = ready(1, 1);
        IKeyRegistry.GrantParams memory params = paramsOf(album, salt, direct ? 0 : set);
        params.expiry = uint40(bound(expiry, 1, START));
        refuses(
            owner, _grant(params), abi.encodeWithSelector(IKeyRegistry.ExpiryPassed.selector, params.expiry)
        );
    }

    /// @dev The second that expiry names is already too late; the one before is not.
    function test_grant_ExpiryPassed_edge() public {
        (bytes32 album, uint32 set) = ready(1, 1);
        IKeyRegistry.GrantParams memory params = paramsOf(album, "grant", set);
        params.expiry = EXPIRY - 1;
        vm.warp(EXPIRY - 1);
        refuses(owner, _grant(params), abi.encodeWithSelector(IKeyRegistry.ExpiryPassed.selector, EXPIRY - 1));
        params.expiry = EXPIRY;
        logsOf(owner, _grant(params));
    }

    function testFuzz_grant_StaleKey_none(address who, uint32 version, bool direct) public {
        (bytes32 album, uint32 set) = ready(1, 1);
        vm.assume(who != address(0) && (who != recipient || version != 1));
        IKeyRegistry.GrantParams memory params = paramsOf(album, "grant", direct ? 0 : set);
        (params.recipient, params.keyVersion) = (who, version);
        refuses(
            owner,
            _grant(params),
            abi.encodeWithSelector(IKeyRegistry.StaleKey.selector, who, version, IKeyRegistry.KeyStatus.None)
        );
    }

    function testFuzz_grant_StaleKey(uint8 status, bytes32 salt) public {
        status = uint8(bound(status, 2, 3));
        (bytes32 album, uint32 set) = ready(1, 1);
        vm.prank(recipient);
        registry.setKeyStatus(1, IKeyRegistry.KeyStatus(status));
        refuses(
            owner,
            _grant(paramsOf(album, salt, set)),
            abi.encodeWithSelector(IKeyRegistry.StaleKey.selector, recipient, 1, status)
        );
    }

    /// @dev A recipient that rotates just before the grant is mined makes it revert, not useless.
    function testFuzz_grant_StaleKey_rotated(bytes32 seed) public {
        (bytes32 album, uint32 set) = ready(1, 1);
        addKey(recipient, 1, seed);
        IKeyRegistry.GrantParams memory params = paramsOf(album, "grant", set);
        refuses(
            owner,
            _grant(params),
            abi.encodeWithSelector(
                IKeyRegistry.StaleKey.selector, recipient, 1, IKeyRegistry.KeyStatus.Retired
            )
        );
        params.keyVersion = 2;
        logsOf(owner, _grant(params));
    }

    /// @dev Live, direct, opened, expired or revoked: an id is used once.
    function testFuzz_grant_GrantExists(uint8 state, IKeyRegistry.GrantParams memory params) public {
        (bytes32 album, uint32 set) = ready(1, 1);
        params.album = album;
        (params.recipient, params.keyVersion, params.expiry) = (recipient, 1, 0);
        params.keeperSet = state % 2 == 0 ? set : 0;
        if (params.scopeCommit == 0) params.scopeCommit = "scope";
        bytes32 id = addGrant(album, params.salt, state % 3 == 0 ? 0 : set);
        if (state % 5 == 0) vm.warp(EXPIRY);
        if (state % 7 == 0) withdraw(album, params.salt);
        refuses(owner, _grant(params), abi.encodeWithSelector(IKeyRegistry.GrantExists.selector, id));
    }

    // ------------------------------------------------------------------ grant: life

    function testFuzz_grant(IKeyRegistry.GrantParams memory params, uint8 keepers, bool xwing, bool direct)
        public
    {
        vm.assume(params.recipient != address(0) && params.scopeCommit != 0);
        uint8 suite = xwing ? 2 : 1;
        (params.album, params.keeperSet) = addAlbum(owner, "album", bound(keepers, 1, 8), 1);
        acceptAll(params.keeperSet);
        if (direct) params.keeperSet = 0;
        params.keyVersion = addKey(params.recipient, suite, "key");
        if (params.expiry != 0) params.expiry = uint40(bound(params.expiry, START + 1, type(uint40).max));
        bytes32 id = grantOf(params.album, params.salt);
        Vm.Log[] memory logs = logsOf(owner, _grant(params));
        checkEq(logs.length, 1, "events");
        checkLog(
            logs[0],
            topicsOf(IKeyRegistry.GrantCreated.selector, id, params.album, word(params.recipient)),
            abi.encode(
                params.scopeCommit, params.keyVersion, params.expiry, params.keeperSet, suite, params.payload
            )
        );
        _checkState(
            id,
            IKeyRegistry.GrantView({
                status: direct ? IKeyRegistry.GrantStatus.Opened : IKeyRegistry.GrantStatus.Live,
                recipient: params.recipient,
                expiry: params.expiry,
                keeperSet: params.keeperSet,
                seq: 0,
                released: 0,
                opened: direct,
                revoked: false,
                head: headOf(params, suite),
                batch: 0
            })
        );
    }

    function testFuzz_expiry(uint40 expiry, uint64 time, bool direct) public {
        (bytes32 album, uint32 set) = ready(1, 1);
        IKeyRegistry.GrantParams memory params = paramsOf(album, "grant", direct ? 0 : set);
        params.expiry = expiry % 4 == 0 ? 0 : uint40(bound(expiry, START + 1, type(uint40).max));
        logsOf(owner, _grant(params));
        // around the edge as often as anywhere
        uint256 now_ = time % 2 == 0 ? bound(time, START, type(uint40).max) : params.expiry + time % 3;
        vm.warp(now_ < START + 1 ? START : now_ - 1);
        bool expired = params.expiry != 0 && block.timestamp >= params.expiry;
        IKeyRegistry.GrantStatus status =
            direct ? IKeyRegistry.GrantStatus.Opened : IKeyRegistry.GrantStatus.Live;
        if (expired) status = IKeyRegistry.GrantStatus.Expired;
        checkEq(uint256(registry.grantState(grantOf(album, "grant")).status), uint256(status), "status");
        vm.prank(owner);
        registry.revoke(album, "grant");
        status = IKeyRegistry.GrantStatus.Revoked;
        checkEq(uint256(registry.grantState(grantOf(album, "grant")).status), uint256(status), "status");
    }

    function test_openableBy() public {
        (bytes32 album, uint32 set) = ready(1, 1);
        addKey(stranger, 1, "key");
        bytes32[] memory ids = new bytes32[](7);
        ids[0] = addGrant(album, "live", set);
        ids[1] = addGrant(album, "direct", 0);
        ids[2] = addGrant(album, "opened", set);
        ids[3] = addGrant(album, "revoked", set);
        ids[4] = "none";
        IKeyRegistry.GrantParams memory params = paramsOf(album, "of another", set);
        params.recipient = stranger;
        vm.prank(owner);
        ids[5] = registry.grant(params);
        params = paramsOf(album, "expires", set);
        params.expiry = EXPIRY - 10;
        vm.prank(owner);
        ids[6] = registry.grant(params);
        commit(ids[2], ask(ids[2]), 0, "share");
        withdraw(album, "revoked");
        vm.warp(EXPIRY - 10);
        uint8[7] memory expected = [1, 2, 2, 4, 0, 0, 3];
        IKeyRegistry.GrantStatus[] memory found = registry.openableBy(recipient, ids);
        checkEq(found.length, ids.length, "answers");
        for (uint256 i = 0; i < ids.length; ++i) {
            checkEq(uint256(found[i]), expected[i], "status");
        }
        found = registry.openableBy(address(0), ids);
        for (uint256 i = 0; i < ids.length; ++i) {
            checkEq(uint256(found[i]), 0, "status for nobody");
        }
        checkEq(registry.openableBy(recipient, new bytes32[](0)).length, 0, "answers to nothing");
    }

    function testFuzz_grantState_none(bytes32 id) public {
        ready(1, 1);
        IKeyRegistry.GrantView memory nothing;
        _checkState(id, nothing);
    }

    // ------------------------------------------------------------------ revoke

    function testFuzz_revoke_NoSuchAlbum(address who, bytes32 album, bytes32 salt) public {
        refuses(who, _revoke(album, salt), abi.encodeWithSelector(IKeyRegistry.NoSuchAlbum.selector, album));
    }

    function testFuzz_revoke_NotAlbumOwner(address who) public {
        vm.assume(who != owner);
        (bytes32 album,) = granted(1, 1);
        refuses(
            who,
            _revoke(album, "grant"),
            abi.encodeWithSelector(IKeyRegistry.NotAlbumOwner.selector, album, who)
        );
    }

    function testFuzz_revoke_NoSuchGrant(bytes32 salt) public {
        vm.assume(salt != "grant");
        (bytes32 album,) = granted(1, 1);
        refuses(
            owner,
            _revoke(album, salt),
            abi.encodeWithSelector(IKeyRegistry.NoSuchGrant.selector, grantOf(album, salt))
        );
    }

    /// @dev The salt of a grant of another owner leads nowhere in one's own album.
    function test_revoke_NoSuchGrant_ofAnother() public {
        granted(1, 1);
        (bytes32 mine,) = addAlbum(stranger, "album", 1, 1);
        refuses(
            stranger,
            _revoke(mine, "grant"),
            abi.encodeWithSelector(IKeyRegistry.NoSuchGrant.selector, grantOf(mine, "grant"))
        );
    }

    function testFuzz_revoke_GrantIsRevoked(bool direct, uint32 later) public {
        (bytes32 album, uint32 set) = ready(1, 1);
        bytes32 id = addGrant(album, "grant", direct ? 0 : set);
        withdraw(album, "grant");
        vm.warp(START + later);
        refuses(
            owner, _revoke(album, "grant"), abi.encodeWithSelector(IKeyRegistry.GrantIsRevoked.selector, id)
        );
    }

    /// @dev After `commits` of `count` keepers: the event and the state say whether it came too late.
    function testFuzz_revoke(uint8 count, uint8 threshold, uint8 commits, bool expired) public {
        count = uint8(bound(count, 1, 8));
        threshold = uint8(bound(threshold, 1, count));
        commits = uint8(bound(commits, 0, count));
        (bytes32 album, bytes32 id) = granted(count, threshold);
        uint8 seq = ask(id);
        // from the last keeper down, so that the bitmap does not start at bit 0
        for (uint256 i = 0; i < commits; ++i) {
            commit(id, seq, count - 1 - i, "share");
        }
        if (expired) vm.warp(EXPIRY);
        IKeyRegistry.GrantView memory state = registry.grantState(id);
        uint256 released = ((1 << commits) - 1) << (count - commits);
        Vm.Log[] memory logs = logsOf(owner, _revoke(album, "grant"));
        checkEq(logs.length, 1, "events");
        checkLog(
            logs[0],
            topicsOf(IKeyRegistry.GrantRevoked.selector, id),
            abi.encode(commits >= threshold, released)
        );
        (state.revoked, state.status) = (true, IKeyRegistry.GrantStatus.Revoked);
        _checkState(id, state);
        checkEq(state.released, released, "released");
        check(state.opened == (commits >= threshold), "opened");
    }

    function test_revoke_direct() public {
        (bytes32 album,) = ready(1, 1);
        bytes32 id = addGrant(album, "grant", 0);
        Vm.Log[] memory logs = logsOf(owner, _revoke(album, "grant"));
        checkLog(logs[0], topicsOf(IKeyRegistry.GrantRevoked.selector, id), abi.encode(true, 0));
    }

    /// @dev Revoking one leaves every other grant of the same recipient as it was.
    function testFuzz_revoke_onlyThatOne(bytes32 a, bytes32 b) public {
        vm.assume(a != b);
        (bytes32 album, uint32 set) = ready(1, 1);
        bytes32 kept = addGrant(album, a, set);
        addGrant(album, b, set);
        IKeyRegistry.GrantView memory before = registry.grantState(kept);
        withdraw(album, b);
        _checkState(kept, before);
        commit(kept, ask(kept), 0, "share");
    }
}
