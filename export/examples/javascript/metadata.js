// The metadata of an ONNX file, which onnxruntime-node does not hand out: field 14 of the
// protobuf message ModelProto, pairs of strings (onnx.proto, StringStringEntryProto).

const METADATA_PROPS = 14;
const LENGTH_DELIMITED = 2;

/** The recipe of an exported model: how a scan becomes the network's input. */
export function recipeOf(model) {
  const recipe = metadata(model).get("hagan_clinic.recipe");
  if (recipe === undefined) throw new Error("the file holds no recipe: not an exported translator");
  return JSON.parse(recipe);
}

function metadata(model) {
  const found = new Map();
  for (const [field, bytes] of fields(model)) {
    if (field !== METADATA_PROPS) continue;
    const pair = new Map([...fields(bytes)].map(([n, text]) => [n, text.toString("utf8")]));
    found.set(pair.get(1), pair.get(2));
  }
  return found;
}

/** The length-delimited fields of a message, as numbers and bytes; other fields are passed over. */
function* fields(message) {
  let offset = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = message[offset++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (offset < message.length) {
    const key = varint();
    const type = key % 8;
    if (type === LENGTH_DELIMITED) {
      const length = varint();
      yield [Math.floor(key / 8), message.subarray(offset, offset + length)];
      offset += length;
    } else if (type === 0) varint();
    else if (type === 1) offset += 8;
    else if (type === 5) offset += 4;
    else throw new Error(`not an ONNX file: wire type ${type}`);
  }
}
