// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Registry of sealed captures and of the grants that let wallets open them
/// @notice Holds encryption keys, albums with their keepers, captures, grants and the receipts of every release.
///         It has no owner, no upgrade and holds no ether. Payloads travel in logs; storage keeps their hashes.
/// @dev Off-chain readers rebuild the whole state from the events alone, in log order. All times are unix seconds.
///
///      Functions that end in `For` do for `authorization.signer` what their namesakes do for the sender. Anyone may send
///      them (a relay does, so that the signer needs no ether). What is signed is EIP-712 typed data of the domain
///
///        name "ffem-chain", version "1", chainId, verifyingContract, salt = `deploymentId()`
///
///      and of one of these types, whose fields are the function's arguments and the authorization's signer, nonce and
///      deadline (the signer, so that what a key signs for one of its wallets is of no use to another of them):
///
///        RegisterKey(uint8 suite,bytes publicKey,address signer,uint256 nonce,uint256 deadline)
///        SetKeyStatus(uint32 version,uint8 status,address signer,uint256 nonce,uint256 deadline)
///        PublishRecovery(uint32 version,bytes sealedKey,address signer,uint256 nonce,uint256 deadline)
///        RequestAccess(bytes32 grantId,bytes requestKey,address signer,uint256 nonce,uint256 deadline)
///        Grant(bytes32 album,bytes32 salt,bytes32 scopeCommit,address recipient,uint32 keyVersion,uint40 expiry,
///              uint32 keeperSet,bytes payload,address signer,uint256 nonce,uint256 deadline)   (without white space)
///        Revoke(bytes32 album,bytes32 salt,address signer,uint256 nonce,uint256 deadline)
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

    /// @notice A signature that stands for its signer's own call.
    /// @param signer A wallet: of a key (65 bytes r, s, v with low s), of a contract (ERC-1271), or of a key that has
    ///        delegated to a contract (EIP-7702: the key's own signature, else what the contract accepts).
    /// @param nonce Any number that the signer has not used; nonces have no order.
    /// @param deadline The last second in which it may be used.
    struct Authorization {
        address signer;
        uint256 nonce;
        uint256 deadline;
        bytes signature;
    }

    /// @notice State of a grant.
    /// @param keeperSet 0 for a direct grant.
    /// @param released Bitmap of the keepers that have ever committed a share.
    /// @param head Hash chain over the payload and every commit. It begins at the grant's own head
    ///        keccak256(abi.encode(grantId, album, scopeCommit, keyVersion, suite, keccak256(payload))), in a batch at the
    ///        batch's head: keccak256 of the own heads of all its grants, one after the other, in order.
    /// @param batch The batch it was granted in, 0 where it was granted alone.
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
        uint32 batch;
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
    /// @notice Readers: the private key of that version, sealed by its wallet to a recovery key of its own: what a holder
    ///         who has lost the device looks for. The newest of a version counts. Bytes of a stranger, in no storage.
    event RecoveryPublished(address indexed wallet, uint32 indexed version, bytes sealedKey);
    /// @notice Readers: the wallet's signatures with a nonce of `word * 256 + i`, for each bit i of `mask`, are of no use
    ///         from now on. Follows from each call by signature (one bit; the call's own events follow) and from
    ///         `useNonces`, whose bits may have been used before.
    event NoncesUsed(address indexed wallet, uint256 indexed word, uint256 mask);
    /// @notice Readers: the album exists; `album` is keccak256(abi.encode(owner, salt)). An `EpochOpened` (epoch 1) and
    ///         a `KeeperSetProposed` follow in the same transaction.
    event AlbumCreated(bytes32 indexed album, address indexed owner, bytes32 salt);
    /// @notice Readers: captures of this epoch derive from the key that `keyCommit` commits to. Cameras seal under it from
    ///         now on, and holders of a former epoch's secret cannot open what is sealed under it.
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
    /// @notice Readers: `count` captures of one epoch are registered. They are in the list at the CIDv1 with this
    ///         sha2-256 `listDigest`; rebuild its Merkle tree and use the list only where its root is `root`. Leaves are
    ///         keccak256(bytes.concat(keccak256(abi.encode(uid, digest, keyCommit, epoch, slot)))), pairs are hashed sorted
    ///         (OpenZeppelin's StandardMerkleTree). The registry has seen the root only: a list may be missing, or name a
    ///         uid that is registered elsewhere. Of registrations of one uid in an album the first in log order counts.
    event CapturesRegistered(
        bytes32 indexed album,
        bytes32 indexed root,
        bytes32 listDigest,
        uint32 count,
        uint32 epoch,
        uint40 time
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
    /// @notice Readers: the grants of the `GrantCreated` events just before, in their order, are one batch. `head` is the
    ///         head of each until its first commit, so checking one grant's logs against the storage takes the own heads of all.
    event GrantsBatched(bytes32 indexed album, uint32 indexed batch, bytes32 head, bytes32[] grantIds);
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
    /// @notice The album's present epoch has this commitment: the call is one that was mined already, sent once more.
    error EpochExists(bytes32 album, uint32 epoch);
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
    error BadCaptureCount(uint32 count);
    error CaptureBatchExists(bytes32 album, bytes32 root);
    error EmptyBatch();
    error MixedAlbums(bytes32 album, bytes32 other);
    error BatchesExhausted();
    error SignatureExpired(uint256 deadline);
    error NonceUsed(address wallet, uint256 nonce);
    error BadSignature(address signer);

    // ------------------------------------------------------------------ keys

    /// @notice Publishes the caller's next encryption key (versions from 1) and retires its active one of that suite.
    /// @param suite 1 secp256k1 (33 bytes, prefix 02 or 03); 2 X-Wing (1,216 bytes).
    function registerKey(uint8 suite, bytes calldata publicKey) external returns (uint32 version);
    /// @notice Retires one of the caller's keys or declares it compromised.
    function setKeyStatus(uint32 version, KeyStatus status) external;
    /// @notice Publishes the private key of one of the caller's versions, sealed to the caller's recovery key.
    /// @param sealedKey Any bytes: the registry has seen nothing of what they are. They are in a log for ever.
    function publishRecovery(uint32 version, bytes calldata sealedKey) external;
    function registerKeyFor(Authorization calldata authorization, uint8 suite, bytes calldata publicKey)
        external
        returns (uint32 version);
    function setKeyStatusFor(Authorization calldata authorization, uint32 version, KeyStatus status) external;
    function publishRecoveryFor(
        Authorization calldata authorization,
        uint32 version,
        bytes calldata sealedKey
    ) external;
    /// @return suite 0 when there is no such key.
    /// @return status Its status.
    /// @return keyHash The first 240 bits of keccak256(publicKey).
    function key(address wallet, uint32 version)
        external
        view
        returns (uint8 suite, KeyStatus status, bytes30 keyHash);
    /// @return version The wallet's active key of the suite, 0 when there is none.
    function activeKey(address wallet, uint8 suite) external view returns (uint32 version);

    // ------------------------------------------------------------------ signed calls

    /// @notice Uses up nonces of the caller: signatures with them, given out and not relayed yet, are void.
    /// @param word The nonces from 256 * word on.
    /// @param mask Bit i is nonce 256 * word + i.
    function useNonces(uint256 word, uint256 mask) external;
    function nonceUsed(address wallet, uint256 nonce) external view returns (bool);

    // ------------------------------------------------------------------ albums

    /// @notice Creates the caller's album with epoch 1 and proposes its keepers. The caller, where a keeper, accepts by it.
    function createAlbum(bytes32 salt, bytes32 epochKeyCommit, address[] calldata keepers, uint8 threshold)
        external
        returns (bytes32 albumId);
    /// @notice Opens the next epoch of an album. EpochExists where its commitment is the present epoch's.
    function openEpoch(bytes32 albumId, bytes32 keyCommit) external returns (uint32 epoch);
    /// @notice Revokes grants, opens the next epoch and grants as one batch, in this order and in one transaction: no
    ///         moment in which somebody who stays cannot open, or somebody who goes can open what is sealed next.
    /// @param keyCommit Not the present epoch's: EpochExists, so that a rotation sent twice happens once.
    /// @param revokedSalts Salts of the album's grants to revoke; may be empty.
    /// @param grants Grants of this album; may be empty, then no batch is made.
    function rotate(
        bytes32 albumId,
        bytes32 keyCommit,
        bytes32[] calldata revokedSalts,
        GrantParams[] calldata grants
    ) external returns (uint32 epoch);
    /// @notice Proposes a new immutable keeper set (1 <= threshold <= keepers <= 8). Grants keep the set they pinned.
    /// @dev Ids count from 1 over all albums; NoSuchKeeperSet from 2^29 on (a registry can be deployed anew).
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
    /// @notice Records up to 10,000 sealed captures of one epoch of the caller's album by the root of their Merkle tree.
    /// @param root See `CapturesRegistered`; an album takes a root once.
    /// @param listDigest sha2-256 digest inside the CIDv1 of the captures' list.
    /// @param count Leaves of the tree, 1 to 10,000.
    function registerCaptures(bytes32 albumId, bytes32 root, bytes32 listDigest, uint32 count, uint32 epoch)
        external;
    /// @return keccak256(abi.encode(digest, keyCommit, epoch, slot)), zero when there is no such capture by itself.
    function captureHash(bytes32 albumId, bytes32 uid) external view returns (bytes32);
    /// @return count Captures in the batch, 0 when there is none.
    /// @return epoch Their epoch.
    /// @return time When it was registered.
    function captureBatch(bytes32 albumId, bytes32 root)
        external
        view
        returns (uint32 count, uint32 epoch, uint40 time);
    /// @notice Whether the album has a batch of this root and the capture is in it.
    /// @param proof Siblings from the leaf up. More than a tree of `count` leaves has levels prove nothing.
    function verifyCapture(
        bytes32 albumId,
        bytes32 root,
        bytes32 uid,
        bytes32 digest,
        bytes32 keyCommit,
        uint32 slot,
        bytes32[] calldata proof
    ) external view returns (bool);

    // ------------------------------------------------------------------ grants

    /// @notice Grants, with the keepers' shares, or directly (`keeperSet` 0: opened from the start).
    function grant(GrantParams calldata params) external returns (bytes32 grantId);
    /// @notice Grants many of one album, to any recipients, direct ones among them: less than half the gas a grant.
    ///         The first commit of each costs its keeper more, since the grant's own head is written only then.
    function grantBatch(GrantParams[] calldata grants) external returns (bytes32[] memory grantIds);
    function grantFor(Authorization calldata authorization, GrantParams calldata params)
        external
        returns (bytes32 grantId);
    /// @notice Asks the keepers for their shares, sealed to a one-time public key. Supersedes an older request.
    /// @param requestKey Suite byte and public key. Keepers check it, the registry only publishes it.
    function requestAccess(bytes32 grantId, bytes calldata requestKey) external returns (uint8 seq);
    function requestAccessFor(
        Authorization calldata authorization,
        bytes32 grantId,
        bytes calldata requestKey
    ) external returns (uint8 seq);
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
    /// @notice Revokes many grants of an album, all or none.
    function revokeBatch(bytes32 albumId, bytes32[] calldata salts) external;
    function revokeFor(Authorization calldata authorization, bytes32 albumId, bytes32 salt) external;

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
