// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {GrantWord} from "./GrantWord.sol";
import {IKeyRegistry} from "./IKeyRegistry.sol";
import {Layout} from "./Layout.sol";

/// @title Albums, their epochs and their keepers
abstract contract Albums is Layout {
    uint256 private constant MAX_KEEPERS = 8;

    /// @inheritdoc IKeyRegistry
    function createAlbum(bytes32 salt, bytes32 keyCommit, address[] calldata keepers, uint8 threshold)
        external
        returns (bytes32 albumId)
    {
        albumId = keccak256(abi.encode(msg.sender, salt));
        if (_albums[albumId].owner != address(0)) revert AlbumExists(albumId);
        if (keyCommit == 0) revert ZeroCommit();
        _albums[albumId] = Album(msg.sender, 0, 0, 1);
        _epochCommits[albumId][1] = keyCommit;
        emit AlbumCreated(albumId, msg.sender, salt);
        emit EpochOpened(albumId, 1, keyCommit);
        _propose(albumId, keepers, threshold);
    }

    /// @inheritdoc IKeyRegistry
    function openEpoch(bytes32 albumId, bytes32 keyCommit) external returns (uint32 epoch) {
        return _openEpoch(_ownAlbum(albumId, msg.sender), albumId, keyCommit);
    }

    /// @inheritdoc IKeyRegistry
    function proposeKeepers(bytes32 albumId, address[] calldata keepers, uint8 threshold)
        external
        returns (uint32 keeperSetId)
    {
        _ownAlbum(albumId, msg.sender);
        return _propose(albumId, keepers, threshold);
    }

    /// @inheritdoc IKeyRegistry
    function acceptKeeperSet(uint32 keeperSetId) external {
        bytes32 albumId = _keeperSets[keeperSetId].album;
        if (albumId == 0) revert NoSuchKeeperSet(keeperSetId);
        uint32 latest = _albums[albumId].latestKeeperSet;
        if (latest != keeperSetId) revert KeeperSetSuperseded(keeperSetId, latest);
        uint256 count = _members[keeperSetId][0].count;
        for (uint256 i = 0; i < count; ++i) {
            if (_members[keeperSetId][i].keeper == msg.sender) {
                if (_keeperSets[keeperSetId].accepted & (1 << i) != 0) {
                    revert AlreadyAccepted(keeperSetId, msg.sender);
                }
                _accept(albumId, keeperSetId, i, count);
                return;
            }
        }
        revert NotKeeper(keeperSetId, msg.sender);
    }

    /// @inheritdoc IKeyRegistry
    function album(bytes32 albumId)
        external
        view
        returns (address owner, uint32 epoch, uint32 currentKeeperSet, uint32 latestKeeperSet)
    {
        Album storage record = _albums[albumId];
        return (record.owner, record.epoch, record.currentKeeperSet, record.latestKeeperSet);
    }

    /// @inheritdoc IKeyRegistry
    function epochKeyCommit(bytes32 albumId, uint32 epoch) external view returns (bytes32) {
        return _epochCommits[albumId][epoch];
    }

    /// @inheritdoc IKeyRegistry
    function keeperSet(uint32 keeperSetId) external view returns (KeeperSetView memory result) {
        Member storage first = _members[keeperSetId][0];
        uint256 count = first.count;
        address[] memory keepers = new address[](count);
        for (uint256 i = 0; i < count; ++i) {
            keepers[i] = _members[keeperSetId][i].keeper;
        }
        KeeperSetHead storage head = _keeperSets[keeperSetId];
        return KeeperSetView(head.album, first.threshold, head.accepted, keepers);
    }

    function _ownAlbum(bytes32 albumId, address caller) internal view returns (Album storage record) {
        record = _albums[albumId];
        address owner = record.owner;
        if (owner == address(0)) revert NoSuchAlbum(albumId);
        if (owner != caller) revert NotAlbumOwner(albumId, caller);
    }

    function _openEpoch(Album storage record, bytes32 albumId, bytes32 keyCommit)
        internal
        returns (uint32 epoch)
    {
        if (keyCommit == 0) revert ZeroCommit();
        epoch = record.epoch;
        if (keyCommit == _epochCommits[albumId][epoch]) revert EpochExists(albumId, epoch);
        record.epoch = ++epoch;
        _epochCommits[albumId][epoch] = keyCommit;
        emit EpochOpened(albumId, epoch, keyCommit);
    }

    function _propose(bytes32 albumId, address[] calldata keepers, uint8 threshold)
        private
        returns (uint32 keeperSetId)
    {
        uint256 count = keepers.length;
        if (threshold == 0 || threshold > count || count > MAX_KEEPERS) {
            revert BadThreshold(threshold, count);
        }
        keeperSetId = _keeperSetCount + 1;
        if (keeperSetId > GrantWord.MAX_SOURCE) revert NoSuchKeeperSet(keeperSetId);
        _keeperSetCount = keeperSetId;
        _albums[albumId].latestKeeperSet = keeperSetId;
        _keeperSets[keeperSetId].album = albumId;
        uint256 own = MAX_KEEPERS;
        for (uint256 i = 0; i < count; ++i) {
            address keeper = keepers[i];
            if (keeper == address(0)) revert ZeroAddress();
            for (uint256 j = 0; j < i; ++j) {
                if (keepers[j] == keeper) revert DuplicateKeeper(keeper);
            }
            if (keeper == msg.sender) own = i;
            // casting is safe: count is at most MAX_KEEPERS
            // forge-lint: disable-next-line(unsafe-typecast)
            _members[keeperSetId][i] = Member(keeper, threshold, uint8(count));
        }
        emit KeeperSetProposed(albumId, keeperSetId, threshold, keepers);
        if (own < count) _accept(albumId, keeperSetId, own, count);
    }

    /// @dev The caller has checked that member `index` is the sender and has not accepted.
    function _accept(bytes32 albumId, uint32 keeperSetId, uint256 index, uint256 count) private {
        uint256 accepted = _keeperSets[keeperSetId].accepted | (1 << index);
        // casting is safe: index is below MAX_KEEPERS
        // forge-lint: disable-next-line(unsafe-typecast)
        _keeperSets[keeperSetId].accepted = uint8(accepted);
        // forge-lint: disable-next-line(unsafe-typecast)
        emit KeeperAccepted(keeperSetId, msg.sender, uint8(index));
        if (accepted == (1 << count) - 1) {
            _albums[albumId].currentKeeperSet = keeperSetId;
            emit KeeperSetActivated(albumId, keeperSetId);
        }
    }
}
