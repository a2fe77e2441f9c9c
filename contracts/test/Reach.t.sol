// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IKeyRegistry} from "../src/IKeyRegistry.sol";
import {Handler} from "./support/Handler.sol";
import {Replay} from "./support/Replay.sol";
import {Test} from "./support/Test.sol";

/// @dev The invariants are not vacuous: runs like those of InvariantsTest reach every event, every refusal and the deep
///      states. `forge test --match-contract Reach -vv` prints how often.
contract ReachTest is Test {
    uint256 internal constant RUNS = 32;
    uint256 internal constant CALLS = 96;

    /// @dev The form that forge prints.
    event log_named_uint(string key, uint256 val);

    struct Wanted {
        string name;
        bytes32 id;
        bool isError;
        uint256 times;
    }

    Wanted[] internal _wanted;
    mapping(bytes32 what => uint256) internal _times;

    function setUp() public {
        _event("KeyRegistered", IKeyRegistry.KeyRegistered.selector);
        _event("KeyStatusChanged", IKeyRegistry.KeyStatusChanged.selector);
        _event("RecoveryPublished", IKeyRegistry.RecoveryPublished.selector);
        _event("NoncesUsed", IKeyRegistry.NoncesUsed.selector);
        _event("AlbumCreated", IKeyRegistry.AlbumCreated.selector);
        _event("EpochOpened", IKeyRegistry.EpochOpened.selector);
        _event("KeeperSetProposed", IKeyRegistry.KeeperSetProposed.selector);
        _event("KeeperAccepted", IKeyRegistry.KeeperAccepted.selector);
        _event("KeeperSetActivated", IKeyRegistry.KeeperSetActivated.selector);
        _event("CaptureRegistered", IKeyRegistry.CaptureRegistered.selector);
        _event("CapturesRegistered", IKeyRegistry.CapturesRegistered.selector);
        _event("GrantsBatched", IKeyRegistry.GrantsBatched.selector);
        _event("GrantCreated", IKeyRegistry.GrantCreated.selector);
        _event("AccessRequested", IKeyRegistry.AccessRequested.selector);
        _event("ReleaseCommitted", IKeyRegistry.ReleaseCommitted.selector);
        _event("GrantOpened", IKeyRegistry.GrantOpened.selector);
        _event("ShareDelivered", IKeyRegistry.ShareDelivered.selector);
        _event("GrantRevoked", IKeyRegistry.GrantRevoked.selector);
        // all but TooManyRequests, which takes 255 of them (ReleaseTest), and BatchesExhausted (PackingTest)
        _error("UnknownSuite", IKeyRegistry.UnknownSuite.selector);
        _error("BadPublicKey", IKeyRegistry.BadPublicKey.selector);
        _error("NoSuchKey", IKeyRegistry.NoSuchKey.selector);
        _error("KeyStatusNotForward", IKeyRegistry.KeyStatusNotForward.selector);
        _error("AlbumExists", IKeyRegistry.AlbumExists.selector);
        _error("NoSuchAlbum", IKeyRegistry.NoSuchAlbum.selector);
        _error("NotAlbumOwner", IKeyRegistry.NotAlbumOwner.selector);
        _error("BadThreshold", IKeyRegistry.BadThreshold.selector);
        _error("DuplicateKeeper", IKeyRegistry.DuplicateKeeper.selector);
        _error("ZeroAddress", IKeyRegistry.ZeroAddress.selector);
        _error("ZeroCommit", IKeyRegistry.ZeroCommit.selector);
        _error("NoSuchKeeperSet", IKeyRegistry.NoSuchKeeperSet.selector);
        _error("KeeperSetSuperseded", IKeyRegistry.KeeperSetSuperseded.selector);
        _error("NotKeeper", IKeyRegistry.NotKeeper.selector);
        _error("AlreadyAccepted", IKeyRegistry.AlreadyAccepted.selector);
        _error("CaptureExists", IKeyRegistry.CaptureExists.selector);
        _error("EpochExists", IKeyRegistry.EpochExists.selector);
        _error("BadEpoch", IKeyRegistry.BadEpoch.selector);
        _error("GrantExists", IKeyRegistry.GrantExists.selector);
        _error("NoSuchGrant", IKeyRegistry.NoSuchGrant.selector);
        _error("NotCurrentKeeperSet", IKeyRegistry.NotCurrentKeeperSet.selector);
        _error("StaleKey", IKeyRegistry.StaleKey.selector);
        _error("ExpiryPassed", IKeyRegistry.ExpiryPassed.selector);
        _error("GrantIsRevoked", IKeyRegistry.GrantIsRevoked.selector);
        _error("GrantIsExpired", IKeyRegistry.GrantIsExpired.selector);
        _error("GrantIsDirect", IKeyRegistry.GrantIsDirect.selector);
        _error("NotRecipient", IKeyRegistry.NotRecipient.selector);
        _error("StaleRequest", IKeyRegistry.StaleRequest.selector);
        _error("AlreadyCommitted", IKeyRegistry.AlreadyCommitted.selector);
        _error("NotCommitted", IKeyRegistry.NotCommitted.selector);
        _error("BadCaptureCount", IKeyRegistry.BadCaptureCount.selector);
        _error("CaptureBatchExists", IKeyRegistry.CaptureBatchExists.selector);
        _error("EmptyBatch", IKeyRegistry.EmptyBatch.selector);
        _error("MixedAlbums", IKeyRegistry.MixedAlbums.selector);
        _error("SignatureExpired", IKeyRegistry.SignatureExpired.selector);
        _error("NonceUsed", IKeyRegistry.NonceUsed.selector);
        _error("BadSignature", IKeyRegistry.BadSignature.selector);
    }

    function _event(string memory name, bytes32 topic) internal {
        _wanted.push(Wanted(name, topic, false, 0));
    }

    function _error(string memory name, bytes4 selector) internal {
        _wanted.push(Wanted(name, selector, true, 0));
    }

    function test_reach() public {
        for (uint256 i = 0; i < RUNS; ++i) {
            this.run(i);
        }
        for (uint256 i = 0; i < _wanted.length; ++i) {
            emit log_named_uint(_wanted[i].name, _wanted[i].times);
        }
        for (uint256 i = 0; i < _wanted.length; ++i) {
            check(_wanted[i].times > 0, _wanted[i].name);
        }
        _report("grants opened by one keeper");
        _report("grants opened by several");
        _report("commits to a second or later request");
        _report("commits under a keeper set that has a successor");
        _report("revocations before opening");
        _report("revocations after opening");
        _report("grants that ended by expiry, after a request");
        _report("deliveries after revocation");
        _report("batched grants opened");
        _report("commits to batched grants");
        _report("requests by signature");
        _report("grants by signature");
        _report("revocations by signature");
        _report("keys by signature of a contract");
        _report("epochs with revocations and grants");
    }

    /// @dev A call of its own, so that its memory is given back.
    function run(uint256 number) external {
        Handler handler = new Handler();
        bytes4[] memory actions = handler.actions();
        for (uint256 i = 0; i < CALLS; ++i) {
            uint256 seed = uint256(keccak256(abi.encode(number, i)));
            (bool ok,) = address(handler).call(abi.encodeWithSelector(actions[seed % actions.length], seed));
            check(ok, "the handler reverted");
        }
        for (uint256 i = 0; i < _wanted.length; ++i) {
            Wanted storage w = _wanted[i];
            w.times += w.isError ? handler.refused(bytes4(w.id)) : handler.logged(w.id);
        }
        _deep(handler.steps(), handler.replay());
    }

    function _report(string memory what) internal {
        uint256 times = _times[keccak256(bytes(what))];
        emit log_named_uint(what, times);
        check(times > 0, what);
    }

    function _count(string memory what) internal {
        ++_times[keccak256(bytes(what))];
    }

    function _deep(Handler.Step[] memory steps, Replay replay) internal {
        for (uint256 i = 0; i < steps.length; ++i) {
            bytes32 kind = steps[i].kind;
            if (steps[i].bySignature) _signed(steps[i]);
            if (kind == IKeyRegistry.GrantOpened.selector && replay.grantState(steps[i].a).batch > 0) {
                _count("batched grants opened");
            }
            if (kind == IKeyRegistry.ReleaseCommitted.selector && replay.grantState(steps[i].a).batch > 0) {
                _count("commits to batched grants");
            }
            if (kind == IKeyRegistry.EpochOpened.selector && i > 0 && i + 1 < steps.length) {
                bool rotated = steps[i - 1].kind == IKeyRegistry.GrantRevoked.selector
                    && steps[i + 1].kind == IKeyRegistry.GrantCreated.selector
                    && steps[i - 1].time == steps[i].time;
                if (rotated && steps[i + 1].time == steps[i].time) {
                    _count("epochs with revocations and grants");
                }
            }
            if (kind == IKeyRegistry.GrantOpened.selector) {
                uint32 set = replay.grantState(steps[i].a).keeperSet;
                bool one = replay.keeperSet(set).threshold == 1;
                _count(one ? "grants opened by one keeper" : "grants opened by several");
            } else if (kind == IKeyRegistry.ReleaseCommitted.selector) {
                if (uint256(steps[i].b) > 1) _count("commits to a second or later request");
                uint32 set = replay.grantState(steps[i].a).keeperSet;
                if (_has(steps, i, IKeyRegistry.KeeperSetActivated.selector, replay.albumOf(steps[i].a), set))
                {
                    _count("commits under a keeper set that has a successor");
                }
            } else if (kind == IKeyRegistry.GrantRevoked.selector) {
                bool opened = _has(steps, i, IKeyRegistry.GrantOpened.selector, steps[i].a, 0);
                _count(opened ? "revocations after opening" : "revocations before opening");
            } else if (kind == IKeyRegistry.ShareDelivered.selector) {
                bool revoked = _has(steps, i, IKeyRegistry.GrantRevoked.selector, steps[i].a, 0);
                if (revoked) _count("deliveries after revocation");
            } else if (kind == IKeyRegistry.GrantCreated.selector) {
                IKeyRegistry.GrantView memory state = replay.grantState(steps[i].a);
                bool expired = state.status == IKeyRegistry.GrantStatus.Expired && state.seq > 0;
                if (expired) _count("grants that ended by expiry, after a request");
            }
        }
    }

    function _signed(Handler.Step memory step) internal {
        if (step.kind == IKeyRegistry.AccessRequested.selector) _count("requests by signature");
        if (step.kind == IKeyRegistry.GrantCreated.selector) _count("grants by signature");
        if (step.kind == IKeyRegistry.GrantRevoked.selector) _count("revocations by signature");
        bool ofContract = step.kind == IKeyRegistry.KeyRegistered.selector && step.caller.code.length > 0;
        if (ofContract) _count("keys by signature of a contract");
    }

    /// @dev Whether an event of this kind about `a`, with a number above `above`, came before step `end`.
    function _has(Handler.Step[] memory steps, uint256 end, bytes32 kind, bytes32 a, uint256 above)
        internal
        pure
        returns (bool)
    {
        for (uint256 i = 0; i < end; ++i) {
            if (steps[i].kind != kind || steps[i].a != a) continue;
            if (above == 0 || uint256(steps[i].b) > above) return true;
        }
        return false;
    }
}
