// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IKeyRegistry} from "../../src/IKeyRegistry.sol";
import {Vm} from "./Vm.sol";

/// @dev The registry's state as a reader rebuilds it: from the events alone, in log order, and the time now. Its views
///      have the names of the registry's, so that one call of each can be compared byte by byte.
contract Replay {
    struct Key {
        uint8 suite;
        IKeyRegistry.KeyStatus status;
        bytes30 keyHash;
    }

    struct Album {
        address owner;
        uint32 epoch;
        uint32 currentKeeperSet;
        uint32 latestKeeperSet;
    }

    struct CaptureBatch {
        uint32 count;
        uint32 epoch;
        uint40 time;
    }

    error UnknownEvent(bytes32 topic);

    mapping(address wallet => mapping(uint32 version => Key)) public key;
    mapping(address wallet => mapping(uint8 suite => uint32)) public activeKey;
    mapping(bytes32 id => Album) public album;
    mapping(bytes32 album => mapping(uint32 epoch => bytes32)) public epochKeyCommit;
    mapping(bytes32 album => mapping(bytes32 uid => bytes32)) public captureHash;
    mapping(bytes32 album => mapping(bytes32 root => CaptureBatch)) public captureBatch;
    mapping(bytes32 grantId => bytes32) public albumOf;
    mapping(address wallet => mapping(uint256 word => uint256)) internal _nonces;
    mapping(uint32 id => IKeyRegistry.KeeperSetView) internal _keeperSets;
    mapping(bytes32 grantId => IKeyRegistry.GrantView) internal _grants;

    function keeperSet(uint32 id) external view returns (IKeyRegistry.KeeperSetView memory) {
        return _keeperSets[id];
    }

    function grantState(bytes32 id) public view returns (IKeyRegistry.GrantView memory view_) {
        view_ = _grants[id];
        if (view_.recipient == address(0)) return view_;
        bool expired = view_.expiry != 0 && view_.expiry <= block.timestamp;
        if (view_.revoked) view_.status = IKeyRegistry.GrantStatus.Revoked;
        else if (expired) view_.status = IKeyRegistry.GrantStatus.Expired;
        else if (view_.opened) view_.status = IKeyRegistry.GrantStatus.Opened;
        else view_.status = IKeyRegistry.GrantStatus.Live;
    }

    function openableBy(address wallet, bytes32[] calldata ids)
        external
        view
        returns (IKeyRegistry.GrantStatus[] memory found)
    {
        found = new IKeyRegistry.GrantStatus[](ids.length);
        for (uint256 i = 0; i < ids.length; ++i) {
            if (_grants[ids[i]].recipient == wallet) found[i] = grantState(ids[i]).status;
        }
    }

    function nonceUsed(address wallet, uint256 nonce) external view returns (bool) {
        return _nonces[wallet][nonce >> 8] >> (nonce & 0xff) & 1 == 1;
    }

    /// @return changes Whether the event says that the state is another one now.
    function read(Vm.Log calldata log) external returns (bool changes) {
        bytes32 kind = log.topics[0];
        if (kind == IKeyRegistry.NoncesUsed.selector) return _noncesUsed(log);
        _read(kind, log);
        return kind != IKeyRegistry.ShareDelivered.selector && kind != IKeyRegistry.RecoveryPublished.selector;
    }

    function _read(bytes32 kind, Vm.Log calldata log) internal {
        if (kind == IKeyRegistry.KeyRegistered.selector) {
            _keyRegistered(log);
        } else if (kind == IKeyRegistry.KeyStatusChanged.selector) {
            _keyStatusChanged(log);
        } else if (kind == IKeyRegistry.AlbumCreated.selector) {
            album[log.topics[1]].owner = _wallet(log.topics[2]);
        } else if (kind == IKeyRegistry.EpochOpened.selector) {
            _epochOpened(log);
        } else if (kind == IKeyRegistry.KeeperSetProposed.selector) {
            _keeperSetProposed(log);
        } else if (kind == IKeyRegistry.KeeperAccepted.selector) {
            _keeperAccepted(log);
        } else if (kind == IKeyRegistry.KeeperSetActivated.selector) {
            _keeperSetActivated(log);
        } else if (kind == IKeyRegistry.CaptureRegistered.selector) {
            _captureRegistered(log);
        } else if (kind == IKeyRegistry.GrantCreated.selector) {
            _grantCreated(log);
        } else if (kind == IKeyRegistry.CapturesRegistered.selector) {
            _capturesRegistered(log);
        } else if (kind == IKeyRegistry.GrantsBatched.selector) {
            _grantsBatched(log);
        } else if (kind == IKeyRegistry.AccessRequested.selector) {
            _grants[log.topics[1]].seq = _small(log.topics[2]);
        } else if (kind == IKeyRegistry.ReleaseCommitted.selector) {
            _releaseCommitted(log);
        } else if (kind == IKeyRegistry.GrantOpened.selector) {
            _grants[log.topics[1]].opened = true;
        } else if (kind == IKeyRegistry.GrantRevoked.selector) {
            _grants[log.topics[1]].revoked = true;
        } else if (
            kind != IKeyRegistry.ShareDelivered.selector && kind != IKeyRegistry.RecoveryPublished.selector
        ) {
            revert UnknownEvent(kind);
        }
    }

    function _noncesUsed(Vm.Log calldata log) internal returns (bool changes) {
        (address wallet, uint256 bucket) = (_wallet(log.topics[1]), uint256(log.topics[2]));
        uint256 former = _nonces[wallet][bucket];
        _nonces[wallet][bucket] = former | abi.decode(log.data, (uint256));
        return _nonces[wallet][bucket] != former;
    }

    function _capturesRegistered(Vm.Log calldata log) internal {
        (, uint32 count, uint32 epoch, uint40 time) = abi.decode(log.data, (bytes32, uint32, uint32, uint40));
        captureBatch[log.topics[1]][log.topics[2]] = CaptureBatch(count, epoch, time);
    }

    /// @dev The head is not taken from the event but made of what the events before it said.
    function _grantsBatched(Vm.Log calldata log) internal {
        (, bytes32[] memory ids) = abi.decode(log.data, (bytes32, bytes32[]));
        bytes32[] memory heads = new bytes32[](ids.length);
        for (uint256 i = 0; i < ids.length; ++i) {
            heads[i] = _grants[ids[i]].head;
        }
        for (uint256 i = 0; i < ids.length; ++i) {
            _grants[ids[i]].head = keccak256(abi.encodePacked(heads));
            _grants[ids[i]].batch = _number(log.topics[2]);
        }
    }

    function _keyRegistered(Vm.Log calldata log) internal {
        (address wallet, uint32 version) = (_wallet(log.topics[1]), _number(log.topics[2]));
        uint8 suite = _small(log.topics[3]);
        bytes memory publicKey = abi.decode(log.data, (bytes));
        key[wallet][version] = Key(suite, IKeyRegistry.KeyStatus.Active, bytes30(keccak256(publicKey)));
        activeKey[wallet][suite] = version;
    }

    function _keyStatusChanged(Vm.Log calldata log) internal {
        (address wallet, uint32 version) = (_wallet(log.topics[1]), _number(log.topics[2]));
        Key storage record = key[wallet][version];
        record.status = abi.decode(log.data, (IKeyRegistry.KeyStatus));
        if (activeKey[wallet][record.suite] == version) delete activeKey[wallet][record.suite];
    }

    function _epochOpened(Vm.Log calldata log) internal {
        uint32 epoch = _number(log.topics[2]);
        album[log.topics[1]].epoch = epoch;
        epochKeyCommit[log.topics[1]][epoch] = abi.decode(log.data, (bytes32));
    }

    function _keeperSetProposed(Vm.Log calldata log) internal {
        uint32 id = _number(log.topics[2]);
        album[log.topics[1]].latestKeeperSet = id;
        IKeyRegistry.KeeperSetView storage set = _keeperSets[id];
        set.album = log.topics[1];
        (set.threshold, set.keepers) = abi.decode(log.data, (uint8, address[]));
    }

    function _keeperAccepted(Vm.Log calldata log) internal {
        _keeperSets[_number(log.topics[1])].accepted |= _bit(abi.decode(log.data, (uint8)));
    }

    function _keeperSetActivated(Vm.Log calldata log) internal {
        album[log.topics[1]].currentKeeperSet = _number(log.topics[2]);
    }

    function _captureRegistered(Vm.Log calldata log) internal {
        // the data is exactly what the registry hashes: digest, key commitment, epoch, slot
        captureHash[log.topics[1]][log.topics[2]] = keccak256(log.data);
    }

    function _grantCreated(Vm.Log calldata log) internal {
        (
            bytes32 scopeCommit,
            uint32 keyVersion,
            uint40 expiry,
            uint32 set,
            uint8 suite,
            bytes memory payload
        ) = abi.decode(log.data, (bytes32, uint32, uint40, uint32, uint8, bytes));
        (bytes32 id, bytes32 ofAlbum) = (log.topics[1], log.topics[2]);
        albumOf[id] = ofAlbum;
        IKeyRegistry.GrantView storage state = _grants[id];
        (state.recipient, state.expiry, state.keeperSet) = (_wallet(log.topics[3]), expiry, set);
        state.opened = set == 0;
        state.head = keccak256(abi.encode(id, ofAlbum, scopeCommit, keyVersion, suite, keccak256(payload)));
    }

    function _releaseCommitted(Vm.Log calldata log) internal {
        IKeyRegistry.GrantView storage state = _grants[log.topics[1]];
        state.released |= _bit(_small(log.topics[3]));
        bytes32 leaf = keccak256(abi.encode(log.topics[2], log.topics[3], abi.decode(log.data, (bytes32))));
        state.head = keccak256(abi.encode(state.head, leaf));
    }

    // casting is safe: topics hold what the event declares
    // forge-lint: disable-start(unsafe-typecast)
    function _wallet(bytes32 topic) internal pure returns (address) {
        return address(uint160(uint256(topic)));
    }

    function _number(bytes32 topic) internal pure returns (uint32) {
        return uint32(uint256(topic));
    }

    function _small(bytes32 topic) internal pure returns (uint8) {
        return uint8(uint256(topic));
    }

    function _bit(uint8 index) internal pure returns (uint8) {
        return uint8(1 << index);
    }

    // forge-lint: disable-end(unsafe-typecast)
}
