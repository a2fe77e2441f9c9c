// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IKeyRegistry} from "./IKeyRegistry.sol";

/// @title KeyRegistry
/// @notice The registry of IKeyRegistry. State is packed so that each release step touches as few slots as it can.
contract KeyRegistry is IKeyRegistry {
    uint8 internal constant SUITE_SECP256K1 = 1;
    uint8 internal constant SUITE_XWING = 2;
    uint256 internal constant SECP256K1_KEY_LENGTH = 33;
    uint256 internal constant XWING_KEY_LENGTH = 1216;
    uint256 internal constant MAX_KEEPERS = 8;

    struct Key {
        bytes30 keyHash;
        uint8 suite;
        KeyStatus status;
    }

    struct Album {
        address owner;
        uint32 currentKeeperSet;
        uint32 latestKeeperSet;
        uint32 epoch;
    }

    struct KeeperSetHead {
        bytes32 album;
        uint8 accepted;
    }

    /// @dev One slot a member: `commitRelease` reads who may commit and how many must in one load.
    struct Member {
        address keeper;
        uint8 threshold;
        uint8 count;
    }

    /// @dev `word` is packed by hand, so that each step costs one load and one store; from the highest bits:
    ///
    ///      recipient 160 | expiry 40 | keeper set 30 | opened 1 | revoked 1 | seq 8 | released 8 | answered 8
    ///
    ///      `released` is the bitmap of the keepers that have ever committed, `answered` of those that committed for
    ///      the current `seq`, so that a keeper commits once a request. The recipient of a grant is never zero.
    struct Grant {
        uint256 word;
        bytes32 head;
    }

    uint256 internal constant RECIPIENT_SHIFT = 96;
    uint256 internal constant EXPIRY_SHIFT = 56;
    uint256 internal constant KEEPER_SET_SHIFT = 26;
    uint256 internal constant OPENED = 1 << 25;
    uint256 internal constant REVOKED = 1 << 24;
    uint256 internal constant SEQ_SHIFT = 16;
    uint256 internal constant SEQ_ONE = 1 << SEQ_SHIFT;
    uint256 internal constant RELEASED_SHIFT = 8;
    uint256 internal constant ANSWERED_MASK = type(uint8).max;
    uint256 internal constant MAX_KEEPER_SET = (1 << 30) - 1;

    /// @inheritdoc IKeyRegistry
    bytes32 public immutable deploymentId;

    mapping(address wallet => mapping(uint32 version => Key)) internal _keys;
    mapping(address wallet => uint32) internal _keyCount;
    mapping(address wallet => mapping(uint8 suite => uint32)) internal _activeKey;
    mapping(bytes32 album => Album) internal _albums;
    mapping(bytes32 album => mapping(uint32 epoch => bytes32)) internal _epochCommits;
    uint32 internal _keeperSetCount;
    mapping(uint32 keeperSet => KeeperSetHead) internal _keeperSets;
    mapping(uint32 keeperSet => mapping(uint256 index => Member)) internal _members;
    mapping(bytes32 album => mapping(bytes32 uid => bytes32)) internal _captures;
    mapping(bytes32 grantId => Grant) internal _grants;

    /// @param salt Random; tells this deployment from any other, also on a development chain started over.
    constructor(bytes32 salt) {
        deploymentId = keccak256(abi.encode(block.chainid, address(this), block.timestamp, salt));
    }

    // ------------------------------------------------------------------ keys

    /// @inheritdoc IKeyRegistry
    function registerKey(uint8 suite, bytes calldata publicKey) external returns (uint32 version) {
        if (suite == SUITE_SECP256K1) {
            if (publicKey.length != SECP256K1_KEY_LENGTH || (publicKey[0] != 0x02 && publicKey[0] != 0x03)) {
                revert BadPublicKey(suite, publicKey.length);
            }
        } else if (suite == SUITE_XWING) {
            if (publicKey.length != XWING_KEY_LENGTH) revert BadPublicKey(suite, publicKey.length);
        } else {
            revert UnknownSuite(suite);
        }
        uint32 former = _activeKey[msg.sender][suite];
        if (former != 0) {
            _keys[msg.sender][former].status = KeyStatus.Retired;
            emit KeyStatusChanged(msg.sender, former, KeyStatus.Retired);
        }
        version = ++_keyCount[msg.sender];
        _activeKey[msg.sender][suite] = version;
        _keys[msg.sender][version] = Key(bytes30(keccak256(publicKey)), suite, KeyStatus.Active);
        emit KeyRegistered(msg.sender, version, suite, publicKey);
    }

    /// @inheritdoc IKeyRegistry
    function setKeyStatus(uint32 version, KeyStatus status) external {
        Key storage record = _keys[msg.sender][version];
        KeyStatus from = record.status;
        if (from == KeyStatus.None) revert NoSuchKey(msg.sender, version);
        if (status <= from) revert KeyStatusNotForward(from, status);
        if (from == KeyStatus.Active) delete _activeKey[msg.sender][record.suite];
        record.status = status;
        emit KeyStatusChanged(msg.sender, version, status);
    }

    /// @inheritdoc IKeyRegistry
    function key(address wallet, uint32 version)
        external
        view
        returns (uint8 suite, KeyStatus status, bytes30 keyHash)
    {
        Key storage record = _keys[wallet][version];
        return (record.suite, record.status, record.keyHash);
    }

    /// @inheritdoc IKeyRegistry
    function activeKey(address wallet, uint8 suite) external view returns (uint32 version) {
        return _activeKey[wallet][suite];
    }

    // ------------------------------------------------------------------ albums

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
        Album storage record = _ownAlbum(albumId);
        if (keyCommit == 0) revert ZeroCommit();
        epoch = ++record.epoch;
        _epochCommits[albumId][epoch] = keyCommit;
        emit EpochOpened(albumId, epoch, keyCommit);
    }

    /// @inheritdoc IKeyRegistry
    function proposeKeepers(bytes32 albumId, address[] calldata keepers, uint8 threshold)
        external
        returns (uint32 keeperSetId)
    {
        _ownAlbum(albumId);
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

    function _ownAlbum(bytes32 albumId) internal view returns (Album storage record) {
        record = _albums[albumId];
        address owner = record.owner;
        if (owner == address(0)) revert NoSuchAlbum(albumId);
        if (owner != msg.sender) revert NotAlbumOwner(albumId, msg.sender);
    }

    function _propose(bytes32 albumId, address[] calldata keepers, uint8 threshold)
        internal
        returns (uint32 keeperSetId)
    {
        uint256 count = keepers.length;
        if (threshold == 0 || threshold > count || count > MAX_KEEPERS) {
            revert BadThreshold(threshold, count);
        }
        keeperSetId = _keeperSetCount + 1;
        if (keeperSetId > MAX_KEEPER_SET) revert NoSuchKeeperSet(keeperSetId);
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
    function _accept(bytes32 albumId, uint32 keeperSetId, uint256 index, uint256 count) internal {
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

    // ------------------------------------------------------------------ captures

    /// @inheritdoc IKeyRegistry
    function registerCapture(
        bytes32 albumId,
        bytes32 uid,
        bytes32 digest,
        bytes32 keyCommit,
        uint32 epoch,
        uint32 slot
    ) external {
        Album storage record = _ownAlbum(albumId);
        if (epoch == 0 || epoch > record.epoch) revert BadEpoch(epoch, record.epoch);
        if (keyCommit == 0) revert ZeroCommit();
        if (_captures[albumId][uid] != 0) revert CaptureExists(albumId, uid);
        _captures[albumId][uid] = keccak256(abi.encode(digest, keyCommit, epoch, slot));
        emit CaptureRegistered(albumId, uid, digest, keyCommit, epoch, slot);
    }

    /// @inheritdoc IKeyRegistry
    function captureHash(bytes32 albumId, bytes32 uid) external view returns (bytes32) {
        return _captures[albumId][uid];
    }

    // ------------------------------------------------------------------ grants

    /// @inheritdoc IKeyRegistry
    function grant(GrantParams calldata params) external returns (bytes32 grantId) {
        Album storage record = _ownAlbum(params.album);
        if (params.recipient == address(0)) revert ZeroAddress();
        if (params.scopeCommit == 0) revert ZeroCommit();
        if (params.keeperSet != 0 && params.keeperSet != record.currentKeeperSet) {
            revert NotCurrentKeeperSet(params.keeperSet, record.currentKeeperSet);
        }
        if (params.expiry != 0 && params.expiry <= block.timestamp) revert ExpiryPassed(params.expiry);
        Key storage sealedTo = _keys[params.recipient][params.keyVersion];
        if (sealedTo.status != KeyStatus.Active) {
            revert StaleKey(params.recipient, params.keyVersion, sealedTo.status);
        }
        uint8 suite = sealedTo.suite;
        grantId = keccak256(abi.encode(params.album, params.salt));
        Grant storage created = _grants[grantId];
        if (created.word != 0) revert GrantExists(grantId);
        uint256 word = uint256(uint160(params.recipient)) << RECIPIENT_SHIFT;
        word |= uint256(params.expiry) << EXPIRY_SHIFT;
        word |= uint256(params.keeperSet) << KEEPER_SET_SHIFT;
        if (params.keeperSet == 0) word |= OPENED;
        created.word = word;
        created.head = keccak256(
            abi.encode(
                grantId, params.album, params.scopeCommit, params.keyVersion, suite, keccak256(params.payload)
            )
        );
        emit GrantCreated(
            grantId,
            params.album,
            params.recipient,
            params.scopeCommit,
            params.keyVersion,
            params.expiry,
            params.keeperSet,
            suite,
            params.payload
        );
    }

    /// @inheritdoc IKeyRegistry
    function requestAccess(bytes32 grantId, bytes calldata requestKey) external returns (uint8 seq) {
        uint256 word = _usable(grantId);
        if (_recipient(word) != msg.sender) revert NotRecipient(grantId, msg.sender);
        if (_keeperSet(word) == 0) revert GrantIsDirect(grantId);
        seq = _seq(word);
        if (seq == type(uint8).max) revert TooManyRequests(grantId);
        ++seq;
        _grants[grantId].word = (word + SEQ_ONE) & ~ANSWERED_MASK;
        emit AccessRequested(grantId, seq, requestKey);
    }

    /// @inheritdoc IKeyRegistry
    function commitRelease(bytes32 grantId, uint8 seq, uint8 index, bytes32 digest) external {
        uint256 word = _usable(grantId);
        uint32 keepers = _keeperSet(word);
        Member storage member = _members[keepers][index];
        if (index >= member.count || member.keeper != msg.sender) revert NotKeeper(keepers, msg.sender);
        if (seq == 0 || seq != _seq(word)) revert StaleRequest(grantId, seq, _seq(word));
        uint256 bit = 1 << uint256(index);
        if (word & bit != 0) revert AlreadyCommitted(grantId, seq, index);
        word |= bit | bit << RELEASED_SHIFT;
        bool opens = word & OPENED == 0 && _popcount(_released(word)) >= member.threshold;
        if (opens) word |= OPENED;
        Grant storage record = _grants[grantId];
        record.word = word;
        record.head = _chain(record.head, _leaf(seq, index, digest));
        emit ReleaseCommitted(grantId, seq, index, digest);
        if (opens) emit GrantOpened(grantId);
    }

    /// @inheritdoc IKeyRegistry
    function deliver(
        bytes32 grantId,
        uint8 seq,
        uint8 index,
        bytes32 previousHead,
        bytes32[] calldata laterLeaves,
        bytes calldata sealedShare
    ) external {
        bytes32 head = _chain(previousHead, _leaf(seq, index, keccak256(sealedShare)));
        for (uint256 i = 0; i < laterLeaves.length; ++i) {
            head = _chain(head, laterLeaves[i]);
        }
        if (head != _grants[grantId].head) revert NotCommitted(grantId, head);
        emit ShareDelivered(grantId, seq, index, sealedShare);
    }

    /// @inheritdoc IKeyRegistry
    function revoke(bytes32 albumId, bytes32 salt) external {
        _ownAlbum(albumId);
        bytes32 grantId = keccak256(abi.encode(albumId, salt));
        uint256 word = _grants[grantId].word;
        if (word == 0) revert NoSuchGrant(grantId);
        if (word & REVOKED != 0) revert GrantIsRevoked(grantId);
        _grants[grantId].word = word | REVOKED;
        emit GrantRevoked(grantId, word & OPENED != 0, _released(word));
    }

    // ------------------------------------------------------------------ views

    /// @inheritdoc IKeyRegistry
    function grantState(bytes32 grantId) external view returns (GrantView memory) {
        Grant memory record = _grants[grantId];
        uint256 word = record.word;
        return GrantView({
            status: _status(word),
            recipient: _recipient(word),
            expiry: _expiry(word),
            keeperSet: _keeperSet(word),
            seq: _seq(word),
            released: _released(word),
            opened: word & OPENED != 0,
            revoked: word & REVOKED != 0,
            head: record.head
        });
    }

    /// @inheritdoc IKeyRegistry
    function openableBy(address wallet, bytes32[] calldata grantIds)
        external
        view
        returns (GrantStatus[] memory result)
    {
        result = new GrantStatus[](grantIds.length);
        for (uint256 i = 0; i < grantIds.length; ++i) {
            uint256 word = _grants[grantIds[i]].word;
            if (_recipient(word) == wallet) result[i] = _status(word);
        }
    }

    /// @dev The grant's word, where it may gain a request or a commit.
    function _usable(bytes32 grantId) internal view returns (uint256 word) {
        word = _grants[grantId].word;
        if (word == 0) revert NoSuchGrant(grantId);
        if (word & REVOKED != 0) revert GrantIsRevoked(grantId);
        if (_isExpired(word)) revert GrantIsExpired(grantId, _expiry(word));
    }

    function _status(uint256 word) internal view returns (GrantStatus) {
        if (word == 0) return GrantStatus.None;
        if (word & REVOKED != 0) return GrantStatus.Revoked;
        if (_isExpired(word)) return GrantStatus.Expired;
        return word & OPENED != 0 ? GrantStatus.Opened : GrantStatus.Live;
    }

    function _isExpired(uint256 word) internal view returns (bool) {
        uint40 expiry = _expiry(word);
        return expiry != 0 && expiry <= block.timestamp;
    }

    // forge-lint: disable-start(unsafe-typecast)
    function _recipient(uint256 word) internal pure returns (address) {
        return address(uint160(word >> RECIPIENT_SHIFT));
    }

    function _expiry(uint256 word) internal pure returns (uint40) {
        return uint40(word >> EXPIRY_SHIFT);
    }

    function _keeperSet(uint256 word) internal pure returns (uint32) {
        return uint32(word >> KEEPER_SET_SHIFT & MAX_KEEPER_SET);
    }

    function _seq(uint256 word) internal pure returns (uint8) {
        return uint8(word >> SEQ_SHIFT);
    }

    function _released(uint256 word) internal pure returns (uint8) {
        return uint8(word >> RELEASED_SHIFT);
    }

    // forge-lint: disable-end(unsafe-typecast)

    function _leaf(uint8 seq, uint8 index, bytes32 digest) internal pure returns (bytes32) {
        return keccak256(abi.encode(seq, index, digest));
    }

    /// @dev keccak256(abi.encode(head, leaf)), in the scratch space.
    function _chain(bytes32 head, bytes32 leaf) internal pure returns (bytes32 result) {
        assembly ("memory-safe") {
            mstore(0x00, head)
            mstore(0x20, leaf)
            result := keccak256(0x00, 0x40)
        }
    }

    function _popcount(uint8 bits) internal pure returns (uint256 count) {
        for (; bits != 0; bits &= bits - 1) {
            ++count;
        }
    }
}
