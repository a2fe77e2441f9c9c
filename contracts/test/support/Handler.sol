// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IKeyRegistry} from "../../src/IKeyRegistry.sol";
import {Multisig} from "./Multisig.sol";
import {OneWay} from "./OneWay.sol";
import {Replay} from "./Replay.sol";
import {Signing} from "./Signing.sol";
import {Vm} from "./Vm.sol";

/// @dev What the invariant tests let loose on a registry: each function is one call with arguments drawn from `seed`,
///      mostly by the wallet that may make it and about what exists, else by and about anything. It never decides
///      whether a call is right; it records who called when, what was logged, and which views changed against OneWay.
contract Handler is Signing {
    /// @dev One event, with the time and the caller that only the handler knows: who sent the call, or whose key signed it
    ///      where it is one by signature. `a` to `c` are the event's other topics; `c` of NoncesUsed is the mask.
    struct Step {
        address caller;
        bool bySignature;
        uint256 time;
        bytes32 kind;
        bytes32 a;
        bytes32 b;
        bytes32 c;
    }

    struct Commit {
        bytes32 grantId;
        uint8 seq;
        uint8 index;
        bytes32 share;
        bytes32 previousHead;
        uint256 position;
    }

    uint256 internal constant OWNERS = 3;
    uint256 internal constant RECIPIENTS = 3;
    uint256 internal constant ACTORS = 14;
    uint40 internal constant EXPIRES = 1_800_086_400;
    uint256 internal constant FIRST_KEEPER = 5;
    /// @dev One owner and one recipient are contracts of two keys each.
    uint256 internal constant CONTRACT_OWNER = 2;
    uint256 internal constant CONTRACT_RECIPIENT = 5;
    uint256 internal constant NONCES = 8;

    Replay public replay;
    uint256 public time = START;
    /// @dev Calls that changed a slot without an event that says so, or logged a change and made none.
    uint256 public silent;
    /// @dev The first thing that any call made go back or jump, see OneWay.
    string public wentBack;
    mapping(bytes32 kind => uint256) public logged;
    mapping(bytes4 error => uint256) public refused;

    /// @dev A call by signature, as it was sent, and whose key signed it.
    struct Relayed {
        address signer;
        bytes data;
    }

    address[] internal _actors;
    Relayed[] internal _relayed;
    Step[] internal _steps;
    bytes[] internal _queries;
    bytes32[] internal _albums;
    bytes32[] internal _grants;
    Commit[] internal _commits;
    uint32 internal _sets;
    mapping(bytes32 grantId => bytes32) internal _saltOf;
    mapping(bytes32 grantId => bytes32[]) internal _leaves;
    mapping(address wallet => uint32) internal _versions;

    constructor() {
        setUp();
        replay = new Replay();
        for (uint256 i = 0; i < ACTORS; ++i) {
            bool isContract = i == CONTRACT_OWNER || i == CONTRACT_RECIPIENT;
            _actors.push(isContract ? address(multisigOf(_keyOf(i), _second(i))) : vm.addr(_keyOf(i)));
        }
        for (uint256 i = 0; i < ACTORS; ++i) {
            _ask(abi.encodeCall(IKeyRegistry.activeKey, (_actor(i), 1)));
            _ask(abi.encodeCall(IKeyRegistry.activeKey, (_actor(i), 2)));
        }
        _scene();
    }

    /// @dev Where the runs start: an album kept by its owner, one kept by two of three, and a requested grant of each.
    function _scene() internal {
        for (uint256 i = 0; i < RECIPIENTS; ++i) {
            _call(_recipientAt(i), abi.encodeCall(IKeyRegistry.registerKey, (1, publicKey(1, bytes32(i)))));
        }
        for (uint256 i = 0; i < 2; ++i) {
            address[] memory keepers = new address[](i == 0 ? 1 : 3);
            for (uint256 k = 0; k < keepers.length; ++k) {
                keepers[k] = i == 0 ? _actor(0) : _actor(FIRST_KEEPER + 1 + k);
            }
            bytes memory data =
                abi.encodeCall(IKeyRegistry.createAlbum, (0, "commit", keepers, i == 0 ? 1 : 2));
            _call(_actor(i), data);
            for (uint256 k = 0; i == 1 && k < keepers.length; ++k) {
                _call(keepers[k], abi.encodeCall(IKeyRegistry.acceptKeeperSet, (_sets)));
            }
            uint40 expiry = i == 0 ? 0 : EXPIRES;
            IKeyRegistry.GrantParams memory params = IKeyRegistry.GrantParams(
                _albums[i], 0, "scope", _recipientAt(i), 1, expiry, _sets, "payload"
            );
            _call(_actor(i), abi.encodeCall(IKeyRegistry.grant, (params)));
            _call(_recipientAt(i), abi.encodeCall(IKeyRegistry.requestAccess, (_grants[i], "request key")));
        }
    }

    // ------------------------------------------------------------------ actions

    function wait(uint256 seed) external {
        uint256 expiry = _grants.length == 0 ? 0 : replay.grantState(_grantAt(seed)).expiry;
        // the last second of a grant and its first one too late, or some hours
        if (_oneIn(2, seed, "edge") && expiry > time) time = expiry - _draw(seed, "late", 2);
        else time += _draw(seed, "hours", 6 hours);
    }

    function registerKey(uint256 seed) external {
        address who = _recipientAt(_draw(seed, "wallet", RECIPIENTS));
        uint8 suite = _oneIn(16, seed, "suite") ? 3 : _oneIn(3, seed, "xwing") ? 2 : 1;
        bytes memory publicKey_ =
            abi.encodePacked(_oneIn(16, seed, "prefix") ? bytes1(0x04) : bytes1(0x03), seed);
        if (suite == 2) publicKey_ = abi.encodePacked(seed, new bytes(1184));
        _act(who, abi.encodeCall(IKeyRegistry.registerKey, (suite, publicKey_)), seed);
    }

    function setKeyStatus(uint256 seed) external {
        address who = _recipientAt(_draw(seed, "wallet", RECIPIENTS));
        uint32 version = _small32(_draw(seed, "version", uint256(_versions[who]) + 2));
        IKeyRegistry.KeyStatus status = IKeyRegistry.KeyStatus(_draw(seed, "status", 4));
        _act(who, abi.encodeCall(IKeyRegistry.setKeyStatus, (version, status)), seed);
    }

    function publishRecovery(uint256 seed) external {
        address who = _recipientAt(_draw(seed, "wallet", RECIPIENTS));
        uint32 version = _small32(_draw(seed, "version", uint256(_versions[who]) + 2));
        _act(who, abi.encodeCall(IKeyRegistry.publishRecovery, (version, abi.encode(seed))), seed);
    }

    function useNonces(uint256 seed) external {
        address who = _actor(_draw(seed, "wallet", ACTORS));
        uint256 mask = uint256(1) << (_nonce(seed) & 0xff);
        if (_oneIn(4, seed, "several")) mask |= 1;
        if (_oneIn(8, seed, "none")) mask = 0;
        _call(who, abi.encodeCall(IKeyRegistry.useNonces, (_nonce(seed) >> 8, mask)));
    }

    /// @dev What somebody has signed and anybody has sent, sent again.
    function relayAgain(uint256 seed) external {
        if (_relayed.length == 0) return;
        Relayed memory again = _relayed[_draw(seed, "which", _relayed.length)];
        _call(_actor(_draw(seed, "anyone", ACTORS)), again.signer, true, again.data);
    }

    function createAlbum(uint256 seed) external {
        (address[] memory keepers, uint8 threshold) = _keepers(seed);
        _call(
            _who(_actor(_draw(seed, "owner", OWNERS)), seed),
            abi.encodeCall(
                IKeyRegistry.createAlbum,
                (bytes32(_draw(seed, "salt", 3)), _commitment(seed), keepers, threshold)
            )
        );
    }

    function openEpoch(uint256 seed) external {
        bytes32 id = _albumAt(seed);
        _call(
            _who(_ownerOf(id), seed), abi.encodeCall(IKeyRegistry.openEpoch, (id, _epochCommitment(seed, id)))
        );
    }

    function proposeKeepers(uint256 seed) external {
        bytes32 id = _albumAt(seed);
        (address[] memory keepers, uint8 threshold) = _keepers(seed);
        _call(_who(_ownerOf(id), seed), abi.encodeCall(IKeyRegistry.proposeKeepers, (id, keepers, threshold)));
    }

    function acceptKeeperSet(uint256 seed) external {
        (,,, uint32 set) = replay.album(_albumAt(seed));
        if (_oneIn(4, seed, "any set")) set = _small32(_draw(seed, "set", uint256(_sets) + 2));
        IKeyRegistry.KeeperSetView memory asked = replay.keeperSet(set);
        address keeper = _actor(_draw(seed, "keeper", ACTORS));
        for (uint256 i = 0; i < asked.keepers.length; ++i) {
            if (asked.accepted & (1 << i) == 0) keeper = asked.keepers[i];
        }
        _call(_who(keeper, seed), abi.encodeCall(IKeyRegistry.acceptKeeperSet, (set)));
    }

    function registerCapture(uint256 seed) external {
        bytes32 id = _albumAt(seed);
        (, uint32 epoch,,) = replay.album(id);
        uint256 drawn = _oneIn(4, seed, "any epoch") ? _draw(seed, "epoch", uint256(epoch) + 2) : epoch;
        bytes32 uid = bytes32(_draw(seed, "uid", 6));
        bytes memory data = abi.encodeCall(
            IKeyRegistry.registerCapture,
            (id, uid, bytes32(seed), _commitment(seed), _small32(drawn), _small32(seed % 2 ** 32))
        );
        _call(_who(_ownerOf(id), seed), data);
    }

    /// @dev Sometimes a root that the album has, too many captures or none.
    function registerCaptures(uint256 seed) external {
        bytes32 id = _albumAt(seed);
        (, uint32 epoch,,) = replay.album(id);
        uint256 drawn = _oneIn(4, seed, "any epoch") ? _draw(seed, "epoch", uint256(epoch) + 2) : epoch;
        bytes32 root = bytes32(1 + _draw(seed, "root", 4));
        uint256 count = _oneIn(8, seed, "no count") ? 10_001 * (seed % 2) : 1 + seed % 10_000;
        bytes memory data = abi.encodeCall(
            IKeyRegistry.registerCaptures, (id, root, _commitment(seed), _small32(count), _small32(drawn))
        );
        _call(_who(_ownerOf(id), seed), data);
    }

    function grant(uint256 seed) external {
        IKeyRegistry.GrantParams memory params = _params(seed, _albumAt(seed));
        _saltOf[grantOf(params.album, params.salt)] = params.salt;
        _act(_ownerOf(params.album), abi.encodeCall(IKeyRegistry.grant, (params)), seed);
    }

    function grantBatch(uint256 seed) external {
        bytes32 id = _albumAt(seed);
        IKeyRegistry.GrantParams[] memory grants = _batch(seed, id, _oneIn(8, seed, "empty") ? 0 : 1);
        _call(_who(_ownerOf(id), seed), abi.encodeCall(IKeyRegistry.grantBatch, (grants)));
    }

    function rotate(uint256 seed) external {
        bytes32 id = _albumAt(seed);
        bytes32[] memory salts = _going(seed, id, 3);
        IKeyRegistry.GrantParams[] memory grants = _batch(seed, id, 0);
        bytes memory data =
            abi.encodeCall(IKeyRegistry.rotate, (id, _epochCommitment(seed, id), salts, grants));
        _call(_who(_ownerOf(id), seed), data);
    }

    function revokeBatch(uint256 seed) external {
        bytes32 id = _albumAt(seed);
        if (!_oneIn(3, seed, "sooner")) return;
        bytes32[] memory salts = _going(seed, id, 2);
        if (salts.length == 0) return; // revoking nothing says and changes nothing
        _call(_who(_ownerOf(id), seed), abi.encodeCall(IKeyRegistry.revokeBatch, (id, salts)));
    }

    /// @dev Up to three more than `least`, mostly good ones.
    function _batch(uint256 seed, bytes32 id, uint256 least)
        internal
        returns (IKeyRegistry.GrantParams[] memory grants)
    {
        grants = new IKeyRegistry.GrantParams[](least + _draw(seed, "grants", 4));
        for (uint256 i = 0; i < grants.length; ++i) {
            grants[i] = _params(uint256(keccak256(abi.encode(seed, i))), id);
            // a flaw of one refuses all: salts of their own, and seldom another album
            if (!_oneIn(4, seed, "same salts")) grants[i].salt = keccak256(abi.encode(seed, "salt", i));
            if (i > 0 && _oneIn(16, seed, "mixed")) grants[i].album = _albumAt(seed >> 1);
            _saltOf[grantOf(grants[i].album, grants[i].salt)] = grants[i].salt;
        }
    }

    /// @dev Salts of up to `most` grants of the album, mostly of ones that are not revoked.
    function _going(uint256 seed, bytes32 id, uint256 most) internal view returns (bytes32[] memory salts) {
        bytes32[] memory found = new bytes32[](most);
        uint256 count;
        uint256 wanted = _draw(seed, "going", most + 1);
        for (uint256 i = 0; i < _grants.length && count < wanted; ++i) {
            bytes32 one = _grants[(seed % _grants.length + i) % _grants.length];
            if (replay.albumOf(one) != id) continue;
            bool revoked = replay.grantState(one).status == IKeyRegistry.GrantStatus.Revoked;
            if (!revoked || _oneIn(8, seed, "again")) found[count++] = _saltOf[one];
        }
        salts = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            salts[i] = found[i];
        }
    }

    function _params(uint256 seed, bytes32 id) internal view returns (IKeyRegistry.GrantParams memory) {
        (,, uint32 set,) = replay.album(id);
        if (_oneIn(4, seed, "direct")) set = 0;
        if (_oneIn(8, seed, "any set")) set = _small32(_draw(seed, "set", uint256(_sets) + 2));
        address to = _recipientAt(_draw(seed, "recipient", RECIPIENTS));
        uint32 version = replay.activeKey(to, _oneIn(4, seed, "suite") ? 2 : 1);
        if (version == 0) version = replay.activeKey(to, 1);
        if (_oneIn(8, seed, "any key")) version = _small32(_draw(seed, "key", uint256(_versions[to]) + 2));
        uint256 expiry = !_oneIn(3, seed, "for ever")
            ? time + _draw(seed, "life", _oneIn(8, seed, "past") ? 1 : 12 hours)
            : 0;
        return IKeyRegistry.GrantParams({
            album: id,
            salt: bytes32(_draw(seed, "salt", 16)),
            scopeCommit: _commitment(seed),
            recipient: _oneIn(16, seed, "nobody") ? address(0) : to,
            keyVersion: version,
            // casting is safe: it is a time of this century
            // forge-lint: disable-next-line(unsafe-typecast)
            expiry: uint40(expiry),
            keeperSet: set,
            payload: abi.encode(seed)
        });
    }

    function requestAccess(uint256 seed) external {
        bytes32 id = _oneIn(6, seed, "a direct one") ? _directGrantAt(seed) : _usableGrantAt(seed, 0);
        bytes memory data = abi.encodeCall(IKeyRegistry.requestAccess, (id, abi.encode(seed)));
        _act(replay.grantState(id).recipient, data, seed);
    }

    function commitRelease(uint256 seed) external {
        bytes32 id = _usableGrantAt(seed, 1);
        IKeyRegistry.GrantView memory state = replay.grantState(id);
        address[] memory keepers = replay.keeperSet(state.keeperSet).keepers;
        uint8 seq =
            _oneIn(8, seed, "any seq") ? _small8(_draw(seed, "seq", uint256(state.seq) + 2)) : state.seq;
        uint8 index = _index(seed, keepers.length, state.released);
        address keeper = index < keepers.length ? keepers[index] : _actor(_draw(seed, "keeper", ACTORS));
        bytes memory data =
            abi.encodeCall(IKeyRegistry.commitRelease, (id, seq, index, keccak256(abi.encode(seed))));
        if (!_call(_who(keeper, seed), data)) return;
        _commits.push(Commit(id, seq, index, bytes32(seed), state.head, _leaves[id].length));
        _leaves[id].push(leafOf(seq, index, keccak256(abi.encode(seed))));
    }

    /// @dev Three times in four a keeper that has not released, where there is one; seldom one that the set lacks.
    function _index(uint256 seed, uint256 count, uint8 released) internal pure returns (uint8) {
        if (count == 0 || _oneIn(16, seed, "beyond")) return _small8(count);
        uint256 drawn = _draw(seed, "index", count);
        for (uint256 i = 0; i < count && !_oneIn(4, seed, "again"); ++i) {
            if (released & (1 << (drawn + i) % count) == 0) return _small8((drawn + i) % count);
        }
        return _small8(drawn);
    }

    /// @dev Right three times in four; else one thing is wrong: the bytes, the head before, or the leaves after.
    function deliver(uint256 seed) external {
        if (_commits.length == 0) return;
        Commit memory c = _commits[_draw(seed, "commit", _commits.length)];
        bytes32[] storage leaves = _leaves[c.grantId];
        bytes32[] memory later = new bytes32[](leaves.length - c.position - 1);
        for (uint256 i = 0; i < later.length; ++i) {
            later[i] = leaves[c.position + 1 + i];
        }
        if (_oneIn(4, seed, "wrong")) {
            if (later.length > 0) later[0] = ~later[0];
            else if (seed % 2 == 0) c.previousHead = ~c.previousHead;
            else c.share = ~c.share;
        }
        bytes memory data = abi.encodeCall(
            IKeyRegistry.deliver, (c.grantId, c.seq, c.index, c.previousHead, later, abi.encode(c.share))
        );
        _call(_actor(_draw(seed, "anyone", ACTORS)), data);
    }

    function revoke(uint256 seed) external {
        bytes32 id = _grantAt(seed);
        // seldom enough that grants live to be opened
        if (!_oneIn(4, seed, "sooner") && !replay.grantState(id).opened) return;
        bytes32 ofAlbum = replay.albumOf(id);
        _act(_ownerOf(ofAlbum), abi.encodeCall(IKeyRegistry.revoke, (ofAlbum, _saltOf[id])), seed);
    }

    // ------------------------------------------------------------------ the call and its records

    /// @dev By the rightful wallet mostly; one time in three by signature.
    function _act(address rightful, bytes memory data, uint256 seed) internal {
        address who = _who(rightful, seed);
        if (_oneIn(3, seed, "by signature")) _relay(who, data, seed);
        else _call(who, data);
    }

    /// @dev Sent by anyone. At times another wallet signs than the one that is named, or too late, or something else.
    function _relay(address named, bytes memory direct, uint256 seed) internal {
        uint256 deadline = time + _draw(seed, "deadline", 1 hours);
        if (_oneIn(12, seed, "too late")) deadline = time - 1;
        uint256 index = _indexOf(named);
        if (_oneIn(8, seed, "another signs")) index = _draw(seed, "who signs", ACTORS);
        (uint256 nonce, uint256 signedNonce) = (_nonce(seed), _nonce(seed));
        if (_oneIn(16, seed, "another nonce")) signedNonce = ~nonce;
        bytes memory signature =
            _signatureOf(index, digestOf(domain(), structOf(named, direct, signedNonce, deadline)));
        bytes memory data = relayedCall(direct, IKeyRegistry.Authorization(named, nonce, deadline, signature));
        // a signature for other bytes is by nobody
        address signer = signedNonce == nonce ? _actors[index] : address(0);
        _relayed.push(Relayed(signer, data));
        _call(_actor(_draw(seed, "relay", ACTORS)), signer, true, data);
    }

    function _signatureOf(uint256 index, bytes32 digest) internal view returns (bytes memory) {
        address who = _actors[index];
        if (who.code.length == 0) return signed(_keyOf(index), digest);
        return signedByBoth(Multisig(who), _keyOf(index), _second(index), digest);
    }

    function _call(address who, bytes memory data) internal returns (bool ok) {
        return _call(who, who, false, data);
    }

    /// @param who Who sends it.
    /// @param caller Whose call it is.
    function _call(address who, address caller, bool bySignature, bytes memory data)
        internal
        returns (bool ok)
    {
        bytes[] memory before = _answers();
        vm.warp(time);
        vm.recordLogs();
        bool changed;
        bytes memory reply;
        (ok, reply, changed) = attempt(who, data);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        bytes[] memory now_ = _answers();
        for (uint256 i = 0; i < before.length; ++i) {
            if (keccak256(before[i]) == keccak256(now_[i]) || bytes(wentBack).length > 0) continue;
            wentBack = OneWay.broken(_queries[i], before[i], now_[i]);
        }
        bool said;
        // the recorder keeps the logs of a refused call, which the chain does not
        for (uint256 i = 0; ok && i < logs.length; ++i) {
            said = _record(caller, bySignature, logs[i]) || said;
        }
        if (said != changed || (ok && logs.length == 0)) ++silent;
        // the selector of the error
        // forge-lint: disable-next-line(unsafe-typecast)
        if (!ok) ++refused[bytes4(reply)];
    }

    function _answers() internal view returns (bytes[] memory answers) {
        answers = new bytes[](_queries.length);
        for (uint256 i = 0; i < answers.length; ++i) {
            answers[i] = answer(address(registry), _queries[i]);
        }
    }

    function _record(address caller, bool bySignature, Vm.Log memory log) internal returns (bool changes) {
        bytes32[3] memory topics;
        for (uint256 i = 1; i < log.topics.length; ++i) {
            topics[i - 1] = log.topics[i];
        }
        bytes32 kind = log.topics[0];
        if (kind == IKeyRegistry.NoncesUsed.selector) topics[2] = abi.decode(log.data, (bytes32));
        _steps.push(Step(caller, bySignature, time, kind, topics[0], topics[1], topics[2]));
        ++logged[kind];
        changes = replay.read(log);
        _learn(kind, topics);
    }

    /// @dev Asks from now on for all that the event brought into being.
    function _learn(bytes32 kind, bytes32[3] memory topics) internal {
        if (kind == IKeyRegistry.KeyRegistered.selector) {
            address wallet = address(uint160(uint256(topics[0])));
            _ask(abi.encodeCall(IKeyRegistry.key, (wallet, ++_versions[wallet])));
        } else if (kind == IKeyRegistry.AlbumCreated.selector) {
            _albums.push(topics[0]);
            _ask(abi.encodeCall(IKeyRegistry.album, (topics[0])));
        } else if (kind == IKeyRegistry.EpochOpened.selector) {
            _ask(abi.encodeWithSelector(IKeyRegistry.epochKeyCommit.selector, topics[0], topics[1]));
        } else if (kind == IKeyRegistry.KeeperSetProposed.selector) {
            _ask(abi.encodeCall(IKeyRegistry.keeperSet, (++_sets)));
        } else if (kind == IKeyRegistry.CaptureRegistered.selector) {
            _ask(abi.encodeCall(IKeyRegistry.captureHash, (topics[0], topics[1])));
        } else if (kind == IKeyRegistry.CapturesRegistered.selector) {
            _ask(abi.encodeCall(IKeyRegistry.captureBatch, (topics[0], topics[1])));
        } else if (kind == IKeyRegistry.GrantCreated.selector) {
            _grants.push(topics[0]);
            _ask(abi.encodeCall(IKeyRegistry.grantState, (topics[0])));
        }
    }

    function _ask(bytes memory query) internal {
        _queries.push(query);
    }

    // ------------------------------------------------------------------ for the invariants

    function answer(address whom, bytes memory query) public view returns (bytes memory) {
        (bool ok, bytes memory reply) = whom.staticcall(query);
        check(ok, "a view reverted");
        return reply;
    }

    /// @dev Every view of all that exists.
    function present() external view returns (bytes[] memory) {
        return _queries;
    }

    /// @dev Views of what does not exist yet: the next set, and the next version, epoch of each wallet and album.
    function absent() external view returns (bytes[] memory queries_) {
        queries_ = new bytes[](1 + ACTORS + _albums.length);
        queries_[0] = abi.encodeCall(IKeyRegistry.keeperSet, (_sets + 1));
        for (uint256 i = 0; i < ACTORS; ++i) {
            address who = _actor(i);
            queries_[1 + i] = abi.encodeCall(IKeyRegistry.key, (who, _versions[who] + 1));
        }
        for (uint256 i = 0; i < _albums.length; ++i) {
            (, uint32 epoch,,) = replay.album(_albums[i]);
            queries_[1 + ACTORS + i] = abi.encodeCall(IKeyRegistry.epochKeyCommit, (_albums[i], epoch + 1));
        }
    }

    /// @dev "What may this wallet open", for every wallet about every grant.
    function openable() external view returns (bytes[] memory queries_) {
        queries_ = new bytes[](ACTORS);
        for (uint256 i = 0; i < ACTORS; ++i) {
            queries_[i] = abi.encodeCall(IKeyRegistry.openableBy, (_actor(i), _grants));
        }
    }

    /// @dev Every nonce that is ever drawn, of every wallet.
    function nonces() external view returns (bytes[] memory queries_) {
        queries_ = new bytes[](ACTORS * NONCES);
        for (uint256 i = 0; i < queries_.length; ++i) {
            queries_[i] = abi.encodeCall(IKeyRegistry.nonceUsed, (_actor(i % ACTORS), _nonceAt(i / ACTORS)));
        }
    }

    function actions() external pure returns (bytes4[] memory selectors) {
        selectors = new bytes4[](20);
        selectors[0] = this.wait.selector;
        selectors[1] = this.registerKey.selector;
        selectors[2] = this.setKeyStatus.selector;
        selectors[3] = this.createAlbum.selector;
        selectors[4] = this.openEpoch.selector;
        selectors[5] = this.proposeKeepers.selector;
        selectors[6] = this.acceptKeeperSet.selector;
        selectors[7] = this.registerCapture.selector;
        selectors[8] = this.grant.selector;
        selectors[9] = this.requestAccess.selector;
        selectors[10] = this.commitRelease.selector;
        selectors[11] = this.deliver.selector;
        selectors[12] = this.revoke.selector;
        selectors[13] = this.registerCaptures.selector;
        selectors[14] = this.grantBatch.selector;
        selectors[15] = this.rotate.selector;
        selectors[16] = this.revokeBatch.selector;
        selectors[17] = this.publishRecovery.selector;
        selectors[18] = this.useNonces.selector;
        selectors[19] = this.relayAgain.selector;
    }

    function target() external view returns (address) {
        return address(registry);
    }

    function steps() external view returns (Step[] memory) {
        return _steps;
    }

    // ------------------------------------------------------------------ draws

    function _draw(uint256 seed, string memory what, uint256 below) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed, what))) % below;
    }

    function _oneIn(uint256 odds, uint256 seed, string memory what) internal pure returns (bool) {
        return _draw(seed, what, odds) == 0;
    }

    function _who(address rightful, uint256 seed) internal view returns (address) {
        return _oneIn(6, seed, "caller") ? _actor(_draw(seed, "another caller", ACTORS)) : rightful;
    }

    /// @dev Owners, recipients, keepers, strangers. Some owners and recipients are asked to keep as well.
    function _actor(uint256 index) internal view returns (address) {
        return _actors[index];
    }

    /// @dev 0 for the wallet of nobody.
    function _indexOf(address who) internal view returns (uint256) {
        for (uint256 i = 0; i < ACTORS; ++i) {
            if (_actors[i] == who) return i;
        }
        return 0;
    }

    function _keyOf(uint256 index) internal pure returns (uint256) {
        return 0xf0000 + index;
    }

    /// @dev The second key of a wallet that is a contract.
    function _second(uint256 index) internal pure returns (uint256) {
        return 0xff000 + index;
    }

    /// @dev Few, so that they meet; at the ends of words and of the range.
    function _nonce(uint256 seed) internal pure returns (uint256) {
        return _nonceAt(_draw(seed, "nonce", NONCES));
    }

    function _nonceAt(uint256 index) internal pure returns (uint256) {
        return index % 2 == 0 ? index * 51 : type(uint256).max - index * 51;
    }

    function _recipientAt(uint256 index) internal view returns (address) {
        return _actor(OWNERS + index);
    }

    /// @dev Mostly up to three keepers, at times up to ten, a repeated or a zero one, or a threshold out of range.
    function _keepers(uint256 seed) internal view returns (address[] memory keepers, uint8 threshold) {
        uint256 count = 1 + _draw(seed, "count", _oneIn(4, seed, "many") ? 10 : 3);
        keepers = new address[](count);
        uint256 first = _draw(seed, "first", ACTORS);
        for (uint256 i = 0; i < count; ++i) {
            keepers[i] = _actor((first + i) % ACTORS);
        }
        if (_oneIn(16, seed, "twice")) keepers[count - 1] = keepers[0];
        if (_oneIn(16, seed, "zero")) keepers[0] = address(0);
        threshold =
            _small8(_oneIn(16, seed, "threshold") ? _draw(seed, "t", 12) : 1 + _draw(seed, "t", count));
    }

    function _commitment(uint256 seed) internal pure returns (bytes32) {
        return _oneIn(16, seed, "no commitment") ? bytes32(0) : keccak256(abi.encode(seed));
    }

    /// @dev Sometimes the present epoch's, as if a rotation was sent twice.
    function _epochCommitment(uint256 seed, bytes32 id) internal view returns (bytes32) {
        (, uint32 epoch,,) = replay.album(id);
        return _oneIn(8, seed, "sent twice") ? replay.epochKeyCommit(id, epoch) : _commitment(seed);
    }

    function _albumAt(uint256 seed) internal view returns (bytes32) {
        if (_oneIn(16, seed, "no album")) return bytes32(seed);
        return _albums[_draw(seed, "album", _albums.length)];
    }

    function _ownerOf(bytes32 id) internal view returns (address who) {
        (who,,,) = replay.album(id);
    }

    function _grantAt(uint256 seed) internal view returns (bytes32) {
        if (_oneIn(16, seed, "no grant")) return bytes32(seed);
        return _grants[_draw(seed, "grant", _grants.length)];
    }

    /// @dev Three times in four a kept grant that has not ended, with that many requests, where there is one.
    function _usableGrantAt(uint256 seed, uint8 requests) internal view returns (bytes32) {
        uint256 first = _draw(seed, "grant", _grants.length);
        for (uint256 i = 0; i < _grants.length && !_oneIn(4, seed, "any grant"); ++i) {
            bytes32 id = _grants[(first + i) % _grants.length];
            IKeyRegistry.GrantView memory state = replay.grantState(id);
            bool usable = state.keeperSet != 0 && state.status < IKeyRegistry.GrantStatus.Expired;
            if (usable && state.seq >= requests) return id;
        }
        return _grantAt(seed);
    }

    /// @dev A direct grant that has not ended, where there is one.
    function _directGrantAt(uint256 seed) internal view returns (bytes32) {
        uint256 first = _draw(seed, "grant", _grants.length);
        for (uint256 i = 0; i < _grants.length; ++i) {
            bytes32 id = _grants[(first + i) % _grants.length];
            IKeyRegistry.GrantView memory state = replay.grantState(id);
            if (state.keeperSet == 0 && state.status == IKeyRegistry.GrantStatus.Opened) return id;
        }
        return _grantAt(seed);
    }

    // casting is safe: draws are small
    // forge-lint: disable-start(unsafe-typecast)
    function _small8(uint256 value) internal pure returns (uint8) {
        return uint8(value);
    }

    function _small32(uint256 value) internal pure returns (uint32) {
        return uint32(value);
    }
    // forge-lint: disable-end(unsafe-typecast)
}
