// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IKeyRegistry} from "../src/IKeyRegistry.sol";
import {Handler} from "./support/Handler.sol";
import {Replay} from "./support/Replay.sol";
import {Test} from "./support/Test.sol";

/// @dev The invariants of the design, after each of random calls by many wallets.
contract InvariantsTest is Test {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Handler internal handler;
    Replay internal replay;

    function setUp() public {
        handler = new Handler();
        replay = handler.replay();
    }

    /// @dev What forge calls between the checks.
    function targetSelectors() public view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), handler.actions());
    }

    function targetContracts() public view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    // ------------------------------------------------------------------ invariants

    /// @dev One campaign for all: each holds in every state of every run. They look at the whole history of the run, so
    ///      that looking every `check_interval` calls and at the end misses nothing.
    function invariant_all() public view {
        _noCommitWithoutARequestByTheRecipient();
        _endedGrantsGainNothing();
        _onlyTheAlbumsOwnerActs();
        _noncesAreUsedOnce();
        _statesMoveOneWay();
        _everyChangeIsAnEvent();
        _eventsAloneRebuildTheState();
    }

    /// @dev Every request is the recipient's; every commit answers the newest request, by the keeper at its index.
    function _noCommitWithoutARequestByTheRecipient() internal view {
        Handler.Step[] memory steps = handler.steps();
        for (uint256 i = 0; i < steps.length; ++i) {
            bytes32 id = steps[i].a;
            if (steps[i].kind == IKeyRegistry.AccessRequested.selector) {
                checkEq(steps[i].caller, replay.grantState(id).recipient, "who requested");
            }
            if (steps[i].kind != IKeyRegistry.ReleaseCommitted.selector) continue;
            uint256 newest = i;
            while (newest > 0) {
                --newest;
                if (steps[newest].kind == IKeyRegistry.AccessRequested.selector && steps[newest].a == id) {
                    break;
                }
            }
            check(steps[newest].kind == IKeyRegistry.AccessRequested.selector, "a commit without a request");
            checkEq(steps[newest].b, steps[i].b, "the request that was answered");
            address[] memory keepers = replay.keeperSet(replay.grantState(id).keeperSet).keepers;
            checkEq(steps[i].caller, keepers[uint256(steps[i].c)], "who committed");
            for (uint256 j = newest; j < i; ++j) {
                bool same = steps[j].kind == steps[i].kind && steps[j].a == id && steps[j].c == steps[i].c;
                check(!same, "a keeper answered a request twice");
            }
        }
    }

    function _endedGrantsGainNothing() internal view {
        Handler.Step[] memory steps = handler.steps();
        for (uint256 i = 0; i < steps.length; ++i) {
            bytes32 kind = steps[i].kind;
            if (
                kind != IKeyRegistry.AccessRequested.selector
                    && kind != IKeyRegistry.ReleaseCommitted.selector
            ) continue;
            uint256 expiry = replay.grantState(steps[i].a).expiry;
            check(expiry == 0 || steps[i].time < expiry, "an expired grant gained something");
            for (uint256 j = 0; j < i; ++j) {
                bool revoked = steps[j].kind == IKeyRegistry.GrantRevoked.selector && steps[j].a == steps[i].a;
                check(!revoked, "a revoked grant gained something");
            }
        }
    }

    /// @dev A call by signature uses one nonce of the wallet that signed, first of all; and no nonce that was used or
    ///      cancelled before.
    function _noncesAreUsedOnce() internal view {
        Handler.Step[] memory steps = handler.steps();
        for (uint256 i = 0; i < steps.length; ++i) {
            if (steps[i].kind != IKeyRegistry.NoncesUsed.selector || !steps[i].bySignature) continue;
            uint256 mask = uint256(steps[i].c);
            check(mask != 0 && mask & (mask - 1) == 0, "one nonce a signature");
            for (uint256 j = 0; j < i; ++j) {
                bool same =
                    steps[j].kind == steps[i].kind && steps[j].a == steps[i].a && steps[j].b == steps[i].b;
                check(!same || uint256(steps[j].c) & mask == 0, "a nonce was used twice");
            }
        }
        for (uint256 i = 0; i < steps.length; ++i) {
            // a key that retires another and the retirement are of one call
            if (!steps[i].bySignature || steps[i].kind == IKeyRegistry.NoncesUsed.selector) continue;
            uint256 before = i - 1;
            if (steps[before].kind == IKeyRegistry.KeyStatusChanged.selector) {
                if (steps[i].kind == IKeyRegistry.KeyRegistered.selector) --before;
            }
            check(steps[before].kind == IKeyRegistry.NoncesUsed.selector, "a signature without a nonce");
            checkEq(steps[before].caller, steps[i].caller, "whose nonce");
        }
    }

    /// @dev Grants, revocations, epochs, keeper sets, captures by the album's owner; keys, what recovers them and nonces by
    ///      their wallet; and an acceptance by the keeper. Where it is by signature: by whose key signed it.
    function _onlyTheAlbumsOwnerActs() internal view {
        Handler.Step[] memory steps = handler.steps();
        for (uint256 i = 0; i < steps.length; ++i) {
            (bytes32 kind, address caller) = (steps[i].kind, steps[i].caller);
            bytes32 who = bytes32(uint256(uint160(caller)));
            if (kind == IKeyRegistry.AlbumCreated.selector) {
                checkEq(steps[i].b, who, "who created");
            } else if (
                kind == IKeyRegistry.EpochOpened.selector || kind == IKeyRegistry.KeeperSetProposed.selector
                    || kind == IKeyRegistry.CaptureRegistered.selector
                    || kind == IKeyRegistry.CapturesRegistered.selector
                    || kind == IKeyRegistry.GrantsBatched.selector
            ) {
                checkEq(caller, _creator(steps, steps[i].a), "who rotated or registered");
            } else if (kind == IKeyRegistry.GrantCreated.selector) {
                checkEq(caller, _creator(steps, steps[i].b), "who granted");
            } else if (kind == IKeyRegistry.GrantRevoked.selector) {
                checkEq(caller, _creator(steps, replay.albumOf(steps[i].a)), "who revoked");
            } else if (
                kind == IKeyRegistry.KeyRegistered.selector || kind == IKeyRegistry.KeyStatusChanged.selector
                    || kind == IKeyRegistry.RecoveryPublished.selector
                    || kind == IKeyRegistry.NoncesUsed.selector
            ) {
                checkEq(steps[i].a, who, "whose key");
            } else if (kind == IKeyRegistry.KeeperAccepted.selector) {
                checkEq(steps[i].b, who, "who accepted");
            }
        }
    }

    /// @dev The caller of the transaction that created the album.
    function _creator(Handler.Step[] memory steps, bytes32 album) internal pure returns (address) {
        for (uint256 i = 0; i < steps.length; ++i) {
            if (steps[i].kind == IKeyRegistry.AlbumCreated.selector && steps[i].a == album) {
                return steps[i].caller;
            }
        }
        return address(0);
    }

    /// @dev Between any two answers of a view: OneWay has the rules.
    function _statesMoveOneWay() internal view {
        string memory wentBack = handler.wentBack();
        check(bytes(wentBack).length == 0, wentBack);
    }

    function _everyChangeIsAnEvent() internal view {
        checkEq(handler.silent(), 0, "changes without an event, or events without a change");
    }

    function _eventsAloneRebuildTheState() internal view {
        _checkSame(handler.present());
        _checkSame(handler.absent());
        _checkSame(handler.openable());
        _checkSame(handler.nonces());
    }

    function _checkSame(bytes[] memory queries) internal view {
        address registry = handler.target();
        for (uint256 i = 0; i < queries.length; ++i) {
            bytes memory rebuilt = handler.answer(address(replay), queries[i]);
            checkEq(handler.answer(registry, queries[i]), rebuilt, "a view and what the events say");
        }
    }
}
