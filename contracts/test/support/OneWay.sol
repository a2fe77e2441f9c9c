// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IKeyRegistry} from "../../src/IKeyRegistry.sol";

/// @dev What may become of a view's answer with one call. Each function says what went wrong, or nothing.
library OneWay {
    function broken(bytes memory query, bytes memory before, bytes memory now_)
        internal
        pure
        returns (string memory)
    {
        // the selector of the call
        // forge-lint: disable-next-line(unsafe-typecast)
        bytes4 view_ = bytes4(query);
        if (view_ == IKeyRegistry.key.selector) return _key(before, now_);
        if (view_ == IKeyRegistry.album.selector) return _album(before, now_);
        if (view_ == IKeyRegistry.keeperSet.selector) return _keeperSet(before, now_);
        if (view_ == IKeyRegistry.grantState.selector) return _grant(before, now_);
        // an active key comes and goes with the status of the keys
        return view_ == IKeyRegistry.activeKey.selector
            ? ""
            : "an epoch's commitment, a capture or a batch of captures changed";
    }

    function _key(bytes memory before, bytes memory now_) private pure returns (string memory) {
        (uint8 suite, IKeyRegistry.KeyStatus status, bytes30 keyHash) =
            abi.decode(before, (uint8, IKeyRegistry.KeyStatus, bytes30));
        (uint8 suite_, IKeyRegistry.KeyStatus status_, bytes30 keyHash_) =
            abi.decode(now_, (uint8, IKeyRegistry.KeyStatus, bytes30));
        if (suite != suite_ || keyHash != keyHash_) return "a key changed";
        return status < status_ ? "" : "a key's status went back";
    }

    function _album(bytes memory before, bytes memory now_) private pure returns (string memory) {
        (address owner, uint32 epoch, uint32 current, uint32 latest) =
            abi.decode(before, (address, uint32, uint32, uint32));
        (address owner_, uint32 epoch_, uint32 current_, uint32 latest_) =
            abi.decode(now_, (address, uint32, uint32, uint32));
        if (owner_ != owner) return "an album changed hands";
        if (epoch_ != epoch && epoch_ != epoch + 1) return "an epoch went back or jumped";
        if (current_ < current || latest_ < latest) return "a keeper set came back";
        return current_ <= latest_ ? "" : "a keeper set serves that was never proposed";
    }

    function _keeperSet(bytes memory before, bytes memory now_) private pure returns (string memory) {
        IKeyRegistry.KeeperSetView memory was = abi.decode(before, (IKeyRegistry.KeeperSetView));
        IKeyRegistry.KeeperSetView memory is_ = abi.decode(now_, (IKeyRegistry.KeeperSetView));
        if (was.accepted & ~is_.accepted != 0) return "an acceptance was taken back";
        was.accepted = is_.accepted;
        return keccak256(abi.encode(was)) == keccak256(abi.encode(is_)) ? "" : "a keeper set changed";
    }

    function _grant(bytes memory before, bytes memory now_) private pure returns (string memory) {
        IKeyRegistry.GrantView memory was = abi.decode(before, (IKeyRegistry.GrantView));
        IKeyRegistry.GrantView memory is_ = abi.decode(now_, (IKeyRegistry.GrantView));
        if (is_.status < was.status) return "a grant's status went back";
        if (is_.seq != was.seq && is_.seq != was.seq + 1) return "requests went back or jumped";
        if (was.released & ~is_.released != 0) return "a release was taken back";
        if (was.opened && !is_.opened) return "an opened grant was closed";
        if (was.revoked && !is_.revoked) return "a revocation was taken back";
        if (is_.batch != was.batch) return "a grant came into another batch";
        bool same =
            is_.recipient == was.recipient && is_.expiry == was.expiry && is_.keeperSet == was.keeperSet;
        return same ? "" : "a grant's recipient, expiry or keeper set changed";
    }
}
