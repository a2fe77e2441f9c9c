// Makes tests/vectors/merkle.json with OpenZeppelin's own package, which nothing else here needs:
//   npm install --prefix /tmp/oz @openzeppelin/merkle-tree@1.0.8
//   NODE_PATH=/tmp/oz/node_modules node tests/capture/openzeppelin.cjs > tests/vectors/merkle.json
const { createHash } = require("crypto");
const { StandardMerkleTree } = require("@openzeppelin/merkle-tree");

const EPOCH = 7;
const SLOT = 29400123;
const TYPES = ["bytes32", "bytes32", "bytes32", "uint32", "uint32"];
const hash = (name, i) => "0x" + createHash("sha256").update(`${name}/${i}`).digest("hex");

const cases = [1, 2, 3, 4, 5, 7, 8, 33, 100].map((count) => {
  const values = [...Array(count).keys()].map((i) => [hash("uid", i), hash("digest", i), hash("commit", i), EPOCH, SLOT + i]);
  const tree = StandardMerkleTree.of(values, TYPES);
  const chosen = [...new Set([0, 1, count >> 1, count - 1])].filter((i) => i < count);
  return { count, root: tree.root, proofs: chosen.map((i) => ({ index: i, proof: tree.getProof(values[i]) })) };
});
const about = "made by @openzeppelin/merkle-tree 1.0.8 in tests/capture/openzeppelin.cjs";
console.log(JSON.stringify({ about, epoch: EPOCH, slot: SLOT, cases }, null, 1));
