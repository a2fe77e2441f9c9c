// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Registry of sealed captures and of the grants that let wallets open them
/// @notice Holds encryption keys, albums with their keepers, captures, grants and the receipts of every release.
///         It has no owner, no upgrade and holds no ether. Payloads travel in logs; storage keeps their hashes.
/// @dev Off-chain readers rebuild the whole state from the events alone, in log order. All times are unix seconds.
interface IKeyRegistry {
    /// @notice Life of an encryption key. It moves forward only.
    enum KeyStatus {
        None,
        Active,
        Retired,
        Compromised
    }

    /// @notice What a grant allows now. `Live` and `Opened` allow requests (unless direct).
    enum GrantStatus {
        None,
        Live,
        Opened,
        Expired,
        Revoked
    }

    /// @notice What an owner grants.
    /// @param album Album of the grant; the caller must own it.
    /// @param salt Chosen by the client; with the album it makes the grant's id.
    /// @param scopeCommit Salted commitment to what is granted (level, epoch, slot, capture, face).
    /// @param recipient Wallet that may request and open.
    /// @param keyVersion The recipient's encryption key the payload is sealed to; it must be active.
    /// @param expiry From this second on, no request and no commit; 0 never.
    /// @param keeperSet The album's current keeper set, or 0 for a direct grant.
    /// @param payload Envelope, masked scope and the keepers' sealed shares; only its hash is stored.
    struct GrantParams {
        bytes32 album;
        bytes32 salt;
        bytes32 scopeCommit;
        address recipient;
        uint32 keyVersion;
        uint40 expiry;
        uint32 keeperSet;
        bytes payload;
    }

    /// @notice State of a grant.
    /// @param released Bitmap of the keepers that have ever committed a share.
    /// @param head Hash chain over the payload and every commit.
    struct GrantView {
        GrantStatus status;
        address recipient;
        uint40 expiry;
        uint32 keeperSet;
        uint8 seq;
        uint8 released;
        bool opened;
        bool revoked;
        bytes32 head;
    }

    /// @notice A keeper set. Members accepted are a bitmap over `keepers`.
    struct KeeperSetView {
        bytes32 album;
        uint8 threshold;
        uint8 accepted;
        address[] keepers;
    }

    // ------------------------------------------------------------------ events

    /// @notice Readers: seal to `publicKey` from now on; an active key of the same wallet and suite is retired by it
    ///         (a `KeyStatusChanged` comes first). Check it as a point or an X-Wing key before sealing: the registry has
    ///         seen its length and prefix only, and not that its wallet holds the private key.
    event KeyRegistered(address indexed wallet, uint32 indexed version, uint8 indexed suite, bytes publicKey);
    /// @notice Readers: never seal to this version again; when compromised, name every grant sealed to it.
    event KeyStatusChanged(address indexed wallet, uint32 indexed version, KeyStatus status);
    /// @notice Readers: the album exists; `album` is keccak256(abi.encode(owner, salt)). An `EpochOpened` (epoch 1) and
    ///         a `KeeperSetProposed` follow in the same transaction.
    event AlbumCreated(bytes32 indexed album, address indexed owner, bytes32 salt);
    /// @notice Readers: captures of this epoch derive from the key that `keyCommit` commits to.
    event EpochOpened(bytes32 indexed album, uint32 indexed epoch, bytes32 keyCommit);
    /// @notice Readers: keepers named here see that they are asked. A newer proposal supersedes an unaccepted one.
    event KeeperSetProposed(
        bytes32 indexed album, uint32 indexed keeperSet, uint8 threshold, address[] keepers
    );
    /// @notice Readers: keeper `index` of the set serves it from now on.
    event KeeperAccepted(uint32 indexed keeperSet, address indexed keeper, uint8 index);
    /// @notice Readers: all have accepted; grants of the album use this set from now on.
    event KeeperSetActivated(bytes32 indexed album, uint32 indexed keeperSet);
    /// @notice Readers: the capture lies at the CIDv1 (dag-pb, sha2-256) with this digest; use nothing that differs.
    event CaptureRegistered(
        bytes32 indexed album,
        bytes32 indexed uid,
        bytes32 digest,
        bytes32 keyCommit,
        uint32 epoch,
        uint32 slot
    );
    /// @notice Readers: the recipient finds the envelope here, keepers their shares. `keeperSet` 0 is a direct grant:
    ///         opened from the start, and no other event opens it. Anyone with an album can grant to anyone, with any bytes:
    ///         bound the payload's size before parsing.
    event GrantCreated(
        bytes32 indexed grantId,
        bytes32 indexed album,
        address indexed recipient,
        bytes32 scopeCommit,
        uint32 keyVersion,
        uint40 expiry,
        uint32 keeperSet,
        uint8 suite,
        bytes payload
    );
    /// @notice Readers: keepers answer the newest `seq` only, sealing to `requestKey` after checking it. It is in no
    ///         storage and in no head: a reader trusts its node for it, or checks the log against the block's receipts.
    event AccessRequested(bytes32 indexed grantId, uint8 indexed seq, bytes requestKey);
    /// @notice Readers: the receipt. Keeper `index` is bound to release the bytes with this keccak256 to request `seq`.
    ///         Chain the leaf to the grant's head: a head that differs from `grantState` means missing or altered logs.
    event ReleaseCommitted(bytes32 indexed grantId, uint8 indexed seq, uint8 indexed index, bytes32 digest);
    /// @notice Readers: the threshold was reached by the `ReleaseCommitted` just before; revocation is too late.
    event GrantOpened(bytes32 indexed grantId);
    /// @notice Readers: the recipient combines the shares of a threshold of keepers. Anyone may repeat a delivery, at any
    ///         time, with the same bytes: take the first of each `seq` and `index`. It can follow a revocation.
    event ShareDelivered(bytes32 indexed grantId, uint8 indexed seq, uint8 indexed index, bytes sealedShare);
    /// @notice Readers: no request or commit follows. `opened` and the bitmap say whether it came too late.
    event GrantRevoked(bytes32 indexed grantId, bool opened, uint8 released);

    // ------------------------------------------------------------------ errors

    error UnknownSuite(uint8 suite);
    error BadPublicKey(uint8 suite, uint256 length);
    error NoSuchKey(address wallet, uint32 version);
    error KeyStatusNotForward(KeyStatus from, KeyStatus to);
    error AlbumExists(bytes32 album);
    error NoSuchAlbum(bytes32 album);
    error NotAlbumOwner(bytes32 album, address caller);
    error BadThreshold(uint256 threshold, uint256 keepers);
    error DuplicateKeeper(address keeper);
    error ZeroAddress();
    error ZeroCommit();
    error NoSuchKeeperSet(uint32 keeperSet);
    error KeeperSetSuperseded(uint32 keeperSet, uint32 latest);
    error NotKeeper(uint32 keeperSet, address caller);
    error AlreadyAccepted(uint32 keeperSet, address keeper);
    error CaptureExists(bytes32 album, bytes32 uid);
    error BadEpoch(uint32 epoch, uint32 current);
    error GrantExists(bytes32 grantId);
    error NoSuchGrant(bytes32 grantId);
    error NotCurrentKeeperSet(uint32 keeperSet, uint32 current);
    error StaleKey(address wallet, uint32 version, KeyStatus status);
    error ExpiryPassed(uint40 expiry);
    error GrantIsRevoked(bytes32 grantId);
    error GrantIsExpired(bytes32 grantId, uint40 expiry);
    error GrantIsDirect(bytes32 grantId);
    error NotRecipient(bytes32 grantId, address caller);
    error TooManyRequests(bytes32 grantId);
    error StaleRequest(bytes32 grantId, uint8 seq, uint8 current);
    error AlreadyCommitted(bytes32 grantId, uint8 seq, uint8 index);
    error NotCommitted(bytes32 grantId, bytes32 head);

    // ------------------------------------------------------------------ keys

    /// @notice Publishes the caller's next encryption key (versions from 1) and retires its active one of that suite.
    /// @param suite 1 secp256k1 (33 bytes, prefix 02 or 03); 2 X-Wing (1,216 bytes).
    function registerKey(uint8 suite, bytes calldata publicKey) external returns (uint32 version);
    /// @notice Retires one of the caller's keys or declares it compromised.
    function setKeyStatus(uint32 version, KeyStatus status) external;
    /// @return suite 0 when there is no such key.
    /// @return status Its status.
    /// @return keyHash The first 240 bits of keccak256(publicKey).
    function key(address wallet, uint32 version)
        external
        view
        returns (uint8 suite, KeyStatus status, bytes30 keyHash);
    /// @return version The wallet's active key of the suite, 0 when there is none.
    function activeKey(address wallet, uint8 suite) external view returns (uint32 version);

    // ------------------------------------------------------------------ albums

    /// @notice Creates the caller's album with epoch 1 and proposes its keepers. The caller, where a keeper, accepts by it.
    function createAlbum(bytes32 salt, bytes32 epochKeyCommit, address[] calldata keepers, uint8 threshold)
        external
        returns (bytes32 albumId);
    /// @notice Opens the next epoch of an album.
    function openEpoch(bytes32 albumId, bytes32 keyCommit) external returns (uint32 epoch);
    /// @notice Proposes a new immutable keeper set (1 <= threshold <= keepers <= 8). Grants keep the set they pinned.
    /// @dev Ids count from 1 over all albums; NoSuchKeeperSet from 2^30 on (a registry can be deployed anew).
    function proposeKeepers(bytes32 albumId, address[] calldata keepers, uint8 threshold)
        external
        returns (uint32 keeperSetId);
    /// @notice The calling keeper accepts to serve; the last one makes the set current.
    function acceptKeeperSet(uint32 keeperSetId) external;
    function album(bytes32 albumId)
        external
        view
        returns (address owner, uint32 epoch, uint32 currentKeeperSet, uint32 latestKeeperSet);
    function epochKeyCommit(bytes32 albumId, uint32 epoch) external view returns (bytes32);
    function keeperSet(uint32 keeperSetId) external view returns (KeeperSetView memory);

    // ------------------------------------------------------------------ captures

    /// @notice Records a sealed capture of the caller's album.
    /// @param uid Random 32 bytes of this sealing.
    /// @param digest sha2-256 digest inside the capture's CIDv1.
    /// @param keyCommit Commitment to the capture key.
    /// @param epoch An epoch of the album, at most the current one.
    /// @param slot Leaf of the time-slot tree: minute since 1970 UTC.
    function registerCapture(
        bytes32 albumId,
        bytes32 uid,
        bytes32 digest,
        bytes32 keyCommit,
        uint32 epoch,
        uint32 slot
    ) external;
    /// @return keccak256(abi.encode(digest, keyCommit, epoch, slot)), zero when there is no such capture.
    function captureHash(bytes32 albumId, bytes32 uid) external view returns (bytes32);

    // ------------------------------------------------------------------ grants

    /// @notice Grants, with the keepers' shares, or directly (`keeperSet` 0: opened from the start).
    function grant(GrantParams calldata params) external returns (bytes32 grantId);
    /// @notice Asks the keepers for their shares, sealed to a one-time public key. Supersedes an older request.
    /// @param requestKey Suite byte and public key. Keepers check it, the registry only publishes it.
    function requestAccess(bytes32 grantId, bytes calldata requestKey) external returns (uint8 seq);
    /// @notice Keeper `index` commits to the bytes it will deliver. The only step of a release that can be refused.
    /// @param digest keccak256 of those bytes.
    function commitRelease(bytes32 grantId, uint8 seq, uint8 index, bytes32 digest) external;
    /// @notice Publishes committed bytes in a log. Anyone may, the bytes being fixed by the commit.
    /// @param previousHead The grant's head before that commit.
    /// @param laterLeaves Leaves keccak256(abi.encode(seq, index, digest)) of all commits after it, in order.
    function deliver(
        bytes32 grantId,
        uint8 seq,
        uint8 index,
        bytes32 previousHead,
        bytes32[] calldata laterLeaves,
        bytes calldata sealedShare
    ) external;
    /// @notice Revokes a grant; the event says whether it had been opened before.
    function revoke(bytes32 albumId, bytes32 salt) external;

    // ------------------------------------------------------------------ views

    function grantState(bytes32 grantId) external view returns (GrantView memory);
    /// @notice "What may this wallet open": the status of each candidate (from `GrantCreated` by recipient), None where
    ///         the grant is not the wallet's.
    function openableBy(address wallet, bytes32[] calldata grantIds)
        external
        view
        returns (GrantStatus[] memory);
    /// @notice keccak256(abi.encode(chain id, address, creation time, salt)): tells this registry from any other.
    function deploymentId() external view returns (bytes32);
}
