"""Writes proto/bodies.onnx: what operators compute, as functions of operators that have rules of their own.

    python proto/bodies.py            # write the file
    python proto/bodies.py --check    # fail if the file is not what would be written
    python proto/bodies.py --missing  # operators of the onnx package with a body that neither a row nor the file has

Needs the onnx package alone. The functions are those of the package's schemas, or written below. A function stands for one
form of an operator, told by its metadata:

    since, until   versions of the operator's domain
    inputs         by slot: 1 is there, 0 is not, ? either
    ranks          slot=rank, separated by blanks
    when           attribute=value or attribute>value, separated by blanks; what a node leaves out has the function's default

An attribute of a node in a function refers to an attribute of the operator, or to what is known of the operator's inputs:
`__size_0_1` is the size of axis 1 of input 0, `__element_0` the number of the element type of input 0.
"""

import argparse
import itertools
import pathlib
import re
import sys

import onnx
from onnx import FunctionProto, TensorProto, helper

HERE = pathlib.Path(__file__).resolve().parent
FILE = HERE / "bodies.onnx"
CONTRIB = "com.microsoft"
NEWEST = 2**31 - 1


def tell(function, since, until=NEWEST, inputs="", ranks=(), when=()):
    """Says in the metadata which form of an operator a function stands for."""
    told = {
        "since": str(since),
        "until": str(until),
        "inputs": inputs,
        "ranks": " ".join(f"{slot}={rank}" for slot, rank in ranks),
        "when": " ".join(when),
    }
    for key, value in told.items():
        if value:
            function.metadata_props.add(key=key, value=value)
    del function.opset_import[:]
    function.doc_string = ""
    return function


# Functions of the package


class Harvest:
    """A standard operator whose body depends on what its node has."""

    def __init__(self, operator, version, slots, choices, counted=(), fixed=None, outputs=1):
        self.schema = onnx.defs.get_schema(operator, version, "")
        self.version = version
        # By slot: names of sizes, an element type or None for the operator's own, True where it may be left out.
        self.slots = slots
        self.choices = choices
        self.counted = counted
        self.fixed = fixed or (lambda choice: {})
        self.outputs = outputs

    def made(self, choice, sizes, element, attributes):
        """The body of one node."""
        present, ranks = choice["inputs"], choice["ranks"]
        names, types = [], []
        for slot, (shapes, own, _) in enumerate(self.slots):
            there = present[slot] == "1"
            names.append(f"i{slot}" if there else "")
            shape = [eval(size, {}, sizes) for size in shapes[ranks[slot]]]
            kind = helper.make_tensor_type_proto(own or element, shape)
            types.append(kind.SerializeToString() if there else b"")
        while names and not names[-1]:
            names.pop()
            types.pop()
        outputs = [output.name for output in self.schema.outputs][: self.outputs]
        node = helper.make_node(self.schema.name, names, outputs, **attributes)
        versions = self.schema.context_dependent_function_opset_versions
        version = max(v for v in versions if v <= self.version)
        function = FunctionProto()
        function.ParseFromString(
            self.schema.get_context_dependent_function_with_opset_version(version, node.SerializeToString(), types)
        )
        return function

    def function(self, choice, sizes, attributes):
        """The body of one node, with what follows its numbers and inputs as references."""
        base = self.made(choice, sizes, TensorProto.FLOAT, attributes)
        half = self.made(choice, sizes, TensorProto.FLOAT16, attributes)
        of_element = next(slot for slot, (_, own, _) in enumerate(self.slots) if own is None)
        refer(base, half, TensorProto.FLOAT, TensorProto.FLOAT16, f"__element_{of_element}")
        for name in self.counted:
            if name in attributes:
                other = dict(attributes, **{name: attributes[name] * 2})
                refer(base, self.made(choice, sizes, TensorProto.FLOAT, other), attributes[name], other[name], name)
        for size in sizes:
            other = dict(sizes, **{size: sizes[size] * 2})
            changed = self.made(choice, other, TensorProto.FLOAT, attributes)
            for slot, (shapes, _, _) in enumerate(self.slots):
                for axis, text in enumerate(shapes[choice["ranks"][slot]]):
                    old, new = eval(text, {}, sizes), eval(text, {}, other)
                    if choice["inputs"][slot] == "1" and old != new:
                        refer(base, changed, old, new, f"__size_{slot}_{axis}")
        defaults = [value.default_value for value in self.schema.attributes.values()]
        base.attribute_proto.extend(value for value in defaults if value.type)
        given = {value.name for value in base.attribute_proto}
        left = [name for name in base.attribute if name not in given]
        del base.attribute[:]
        base.attribute.extend(left)
        return base


def refer(base, other, old, new, name):
    """Numbers of `base` that are `old` where those of `other` are `new` become references."""
    pairs = {node.output[0]: node for node in other.node}
    made = [node.output[0] for node in base.node if node.output[0] in pairs]
    if made != [node.output[0] for node in other.node]:
        sys.exit(f"{base.name}: the body has another structure where {name} is another number")
    nodes = []
    for node in base.node:
        twin = pairs.get(node.output[0])
        if twin is None or twin.op_type != node.op_type:
            # It became a reference before.
            nodes.append(node)
            continue
        number = list_of_one(node)
        if number == old and list_of_one(twin) == new and old != new:
            shape = helper.make_tensor("", TensorProto.INT64, [1], [1])
            single, length = f"{node.output[0]}_number", f"{node.output[0]}_length"
            held = helper.make_node("Constant", [], [single])
            held.attribute.append(reference("value_int", name))
            nodes += [
                held,
                helper.make_node("Constant", [], [length], value=shape),
                helper.make_node("Reshape", [single, length], [node.output[0]]),
            ]
            continue
        for attribute, there in zip(node.attribute, twin.attribute):
            if attribute.type == onnx.AttributeProto.INT and (attribute.i, there.i) == (old, new):
                attribute.CopyFrom(reference(attribute.name, name))
        nodes.append(node)
    del base.node[:]
    base.node.extend(nodes)


def list_of_one(node):
    """The number of a Constant node that holds a list of one integer."""
    for attribute in node.attribute:
        tensor = attribute.t
        if node.op_type == "Constant" and attribute.name == "value" and tensor.data_type == TensorProto.INT64:
            numbers = onnx.numpy_helper.to_array(tensor)
            return int(numbers[0]) if numbers.shape == (1,) else None
    return None


def reference(attribute, name):
    return onnx.AttributeProto(name=attribute, ref_attr_name=name, type=onnx.AttributeProto.INT)


def left_out(slots):
    """All ways to leave out inputs."""
    return ["".join(bits) for bits in itertools.product(*("10" if slot[2] else "1" for slot in slots))]


def rotary_of_the_package():
    """Halves that lie apart; see `rotary` for pairs that lie side by side."""
    cache = {3: ["n", "s", "d // 2"], 2: ["m", "d // 2"]}
    slots = [
        ({3: ["n", "s", "h * d"], 4: ["n", "h", "s", "d"]}, None, False),
        (cache, None, False),
        (cache, None, False),
        ({2: ["n", "s"]}, TensorProto.INT64, True),
    ]
    harvest = Harvest("RotaryEmbedding", 23, slots, {}, ["num_heads", "rotary_embedding_dim"])
    sizes = {"n": 3, "s": 7, "h": 5, "d": 32, "m": 50}
    for rank, positions, part in itertools.product([3, 4], [0, 1], [0, 12]):
        of_cache = 2 if positions else 3
        choice = {"inputs": f"111{positions}", "ranks": [rank, of_cache, of_cache, 2]}
        attributes = {"interleaved": 0, "rotary_embedding_dim": part} if part else {"interleaved": 0}
        when = ["interleaved=0", "rotary_embedding_dim>0" if part else "rotary_embedding_dim=0"]
        if rank == 3:
            attributes["num_heads"] = 5
            when.append("num_heads>0")
        function = harvest.function(choice, sizes, attributes)
        ranks = [(0, rank), (1, of_cache), (2, of_cache)]
        yield tell(function, 23, inputs=choice["inputs"], ranks=ranks, when=when)


def causal_convolution():
    slots = [
        ({3: ["n", "c", "t"]}, None, False),
        ({3: ["c", "1", "k"]}, None, False),
        ({1: ["c"]}, None, True),
        ({3: ["n", "c", "k - 1"]}, None, True),
    ]
    harvest = Harvest("CausalConvWithState", 27, slots, {}, outputs=2)
    sizes = {"n": 3, "c": 34, "t": 55, "k": 13}
    for inputs, activation in itertools.product(left_out(slots), ["none", "silu", "swish"]):
        choice = {"inputs": inputs, "ranks": [3, 3, 1, 3]}
        function = harvest.function(choice, sizes, {"activation": activation})
        yield tell(function, 27, inputs=inputs, ranks=[(0, 3), (1, 3)], when=[f"activation={activation}"])


def plain(operator):
    """The bodies of an operator that depend on nothing."""
    schemas = [s for s in onnx.defs.get_all_schemas_with_history() if s.name == operator and s.domain == ""]
    schemas.sort(key=lambda schema: schema.since_version)
    for at, schema in enumerate(schemas):
        until = schemas[at + 1].since_version - 1 if at + 1 < len(schemas) else NEWEST
        function = FunctionProto()
        function.CopyFrom(schema.function_body)
        yield tell(function, schema.since_version, until)


# Functions in our own words


def written(text, domain=CONTRIB, since=1, **forms):
    function = onnx.parser.parse_function(f'<domain: "{domain}", opset_import: ["": 17]> {text}')
    return tell(function, since, **forms)


def skipped():
    """A sum that is normalised."""
    for bias in "01":
        add = "whole = Add(skip, input) input_skip_bias_sum = Add(whole, bias)"
        add = add if bias == "1" else "input_skip_bias_sum = Add(skip, input)"
        yield written(
            f"""SkipLayerNormalization <epsilon: float = 1e-12> (input, skip, gamma, beta, bias)
            => (output, mean, inv_std_var, input_skip_bias_sum) {{
                {add}
                output, mean, inv_std_var =
                    LayerNormalization <axis = -1, epsilon: float = @epsilon> (input_skip_bias_sum, gamma, beta)
            }}""",
            inputs=f"111?{bias}",
        )
        yield written(
            f"""SkipSimplifiedLayerNormalization <epsilon: float = 1e-12> (input, skip, gamma, bias)
            => (output, mean, inv_std_var, input_skip_bias_sum) {{
                {add}
                output, inv_std_var =
                    SimplifiedLayerNormalization <axis = -1, epsilon: float = @epsilon> (input_skip_bias_sum, gamma)
                centred, mean =
                    LayerNormalization <axis = -1, epsilon: float = @epsilon> (input_skip_bias_sum, gamma)
            }}""",
            inputs=f"111{bias}",
        )


def embedded():
    """Words, places and segments, normalised."""
    for segments, mask, positions in itertools.product("01", repeat=3):
        places = {
            "1": "places = Gather(position_embedding, position_ids)",
            "0": """
                each = Constant <value = int64 {1}> ()
                none = Constant <value = int64 {0}> ()
                length = Gather(sizes, each)
                steps = Range(none, length, each)
                places = Gather(position_embedding, steps)
            """,
        }[positions]
        more = {
            "1": "of_segments = Gather(segment_embedding, segment_ids) embedding_sum = Add(of_segments, both)",
            "0": "embedding_sum = Identity(both)",
        }[segments]
        lengths = {
            "1": 'mask_index = Einsum <equation = "bs->b"> (mask)',
            "0": """
                batch = Slice(sizes, zero, one, zero)
                mask_index = ConstantOfShape <value = int32[1] {0}> (batch)
            """,
        }[mask]
        yield written(
            f"""EmbedLayerNormalization <epsilon: float = 1e-12, mask_index_type: int = 0>
            (input_ids, segment_ids, word_embedding, position_embedding, segment_embedding, gamma, beta, mask, position_ids)
            => (output, mask_index, embedding_sum) {{
                zero = Constant <value = int64[1] {{0}}> ()
                one = Constant <value = int64[1] {{1}}> ()
                sizes = Shape(input_ids)
                words = Gather(word_embedding, input_ids)
                {places}
                both = Add(places, words)
                {more}
                output = LayerNormalization <axis = -1, epsilon: float = @epsilon> (embedding_sum, gamma, beta)
                {lengths}
            }}""",
            inputs=f"1{segments}11{segments}11{mask}{positions}",
            ranks=[(0, 2), (2, 2), (3, 2)],
        )


def gated():
    """Half of what is read gates the other half."""
    yield written(
        """BiasSplitGelu (X, bias) => (Y) {
            sum = Add(X, bias)
            sizes = Shape(sum)
            zero = Constant <value = int64[1] {0}> ()
            last = Constant <value = int64[1] {-1}> ()
            two = Constant <value = int64[1] {2}> ()
            width = Gather(sizes, last)
            half = Div(width, two)
            left = Slice(sum, zero, half, last)
            right = Slice(sum, half, width, last)
            gate = com.microsoft.Gelu(right)
            Y = Mul(left, gate)
        }"""
    )


def dropped_out():
    for residual in "01":
        out = "output = Add(residual, some)" if residual == "1" else "output = Identity(some)"
        yield written(
            f"""BiasDropout (data, bias, residual, ratio, training_mode) => (output, mask) {{
                sum = Add(data, bias)
                some, mask = Dropout(sum, ratio, training_mode)
                {out}
            }}""",
            inputs=f"11{residual}??",
        )


def grouped():
    """Normalised by groups of channels, which stand last or second."""
    for last, activation in itertools.product([1, 0], [0, 1]):
        here, back = ("Transpose <perm = [0, 3, 1, 2]>", "Transpose <perm = [0, 2, 3, 1]>")
        here, back = (here, back) if last else ("Identity", "Identity")
        act = "gate = Sigmoid(scaled) made = Mul(scaled, gate)" if activation else "made = Identity(scaled)"
        defaults = "<epsilon: float = 1e-5, groups: int = 0, activation: int = 0, channels_last: int = 1>"
        normalised = f"""
            turned = {here}(whole)
            scaled = GroupNormalization <num_groups: int = @groups, epsilon: float = @epsilon> (turned, gamma, beta)
            {act}
            Y = {back}(made)
        """
        when = [f"channels_last={last}", f"activation={activation}"]
        yield written(
            f"GroupNorm {defaults} (X, gamma, beta) => (Y) {{ whole = Identity(X) {normalised} }}",
            ranks=[(0, 4)],
            when=when,
        )
        for bias, rank in itertools.product("01", [2, 4]):
            spread = "aligned = Reshape(skip, spread)" if rank == 2 else "aligned = Identity(skip)"
            sizes = "{0, 1, 1, -1}" if last else "{0, -1, 1, 1}"
            along = "{1, 1, 1, -1}" if last else "{1, -1, 1, 1}"
            add = f"""
                along = Constant <value = int64[4] {along}> ()
                first = Add(aligned, X)
                row = Reshape(bias, along)
                S = Add(row, first)
            """
            yield written(
                f"""SkipGroupNorm {defaults} (X, gamma, beta, skip, bias) => (Y, S) {{
                    spread = Constant <value = int64[4] {sizes}> ()
                    {spread}
                    {add if bias == "1" else "S = Add(aligned, X)"}
                    whole = Identity(S)
                    {normalised}
                }}""",
                inputs=f"1111{bias}",
                ranks=[(0, 4), (3, rank)],
                when=when,
            )


def rotation(interleaved, rank):
    """Pairs of `turned`, whose last axis is that of the pairs, by `cos` and `sin`."""
    if interleaved:
        take = """
            pairs = Constant <value = int64[5] {0, 0, 0, -1, 2}> ()
            apart = Reshape(turned, pairs)
            index_0 = Constant <value = int64 {0}> ()
            index_1 = Constant <value = int64 {1}> ()
            left = Gather <axis = 4> (apart, index_0)
            right = Gather <axis = 4> (apart, index_1)
        """
        give = """
            single = Constant <value = int64[5] {0, 0, 0, -1, 1}> ()
            real_column = Reshape(real, single)
            imaginary_column = Reshape(imaginary, single)
            columns = Concat <axis = 4> (real_column, imaginary_column)
            joined = Constant <value = int64[4] {0, 0, 0, -1}> ()
            rotated = Reshape(columns, joined)
        """
    else:
        take = """
            turned_sizes = Shape(turned)
            turned_width = Slice(turned_sizes, three, four, zero)
            half = Div(turned_width, two)
            left = Slice(turned, zero, half, three)
            right = Slice(turned, half, turned_width, three)
        """
        give = "rotated = Concat <axis = 3> (real, imaginary)"
    return f"""
        {take}
        left_cos = Mul(cos, left)
        right_sin = Mul(sin, right)
        real = Sub(left_cos, right_sin)
        left_sin = Mul(sin, left)
        right_cos = Mul(cos, right)
        imaginary = Add(left_sin, right_cos)
        {give}
    """


def spread_caches(rank, positions):
    """Rows of the tables as `cos` and `sin`, aligned with heads. Positions: none, all of them, or the first."""
    # Places are the third axis of four, else the second.
    axis = 1 if rank == 3 else 2
    aligned = {3: {2: "{0, 1, -1}", 3: "{0, 0, 1, -1}"}, 4: {2: "{0, -1}", 3: "{0, 1, -1}"}}
    if positions == "first":
        of_rows, rank_of_rows = """
            places = Shape(input)
            axis_from = Constant <value = int64[1] {%d}> ()
            axis_to = Constant <value = int64[1] {%d}> ()
            length = Slice(places, axis_from, axis_to, zero)
            none = Constant <value = int64 {0}> ()
            each = Constant <value = int64 {1}> ()
            scalar = Constant <value = int64[0] {}> ()
            count = Reshape(length, scalar)
            steps = Range(none, count, each)
            rows = Add(steps, position_ids)
            cos_rows = Gather(cos_cache, rows)
            sin_rows = Gather(sin_cache, rows)
        """ % (axis, axis + 1), 2
    elif positions == "all":
        of_rows, rank_of_rows = "cos_rows = Gather(cos_cache, position_ids) sin_rows = Gather(sin_cache, position_ids)", 3
    else:
        of_rows, rank_of_rows = "cos_rows = Identity(cos_cache) sin_rows = Identity(sin_cache)", 3
    if rank == 4 and rank_of_rows == 3:
        shape, count = "{0, 1, 0, -1}", 4
        # Zero copies the axis of the same place, which is not the one that is meant.
        align = """
            batch = Slice(row_sizes, zero, one, zero)
            steps_and_width = Slice(row_sizes, one, three, zero)
            aligned = Concat <axis = 0> (batch, one, steps_and_width)
        """
    elif rank == 4:
        align = "aligned = Identity(row_sizes)"
    elif rank_of_rows == 3:
        align = "aligned = Constant <value = int64[4] {0, 0, 1, -1}> ()"
    else:
        align = "aligned = Constant <value = int64[3] {0, 1, -1}> ()"
    return f"""
        {of_rows}
        row_sizes = Shape(cos_rows)
        {align}
        cos = Reshape(cos_rows, aligned)
        sin = Reshape(sin_rows, aligned)
    """


def rotary(domain, rank, interleaved, part, positions, derived):
    """Pairs of a head turned by angles of tables. Heads of three axes are counted, or derived from the tables' width."""
    heads = """
        number = Constant <value_int: int = @num_heads> ()
        heads = Reshape(number, one)
        by_head = Concat <axis = 0> (zero, zero, heads, rest)
    """
    if derived:
        heads = """
            cache_sizes = Shape(cos_cache)
            cache_width = Slice(cache_sizes, one, two, zero)
            width_of_head = Mul(cache_width, two)
            by_head = Concat <axis = 0> (zero, zero, rest, width_of_head)
        """
    split = f"{heads} seen = Reshape(input, by_head)" if rank == 3 else "seen = Identity(input)"
    cut = "turned = Identity(seen)"
    joined = "all = Identity(rotated)"
    if part:
        cut = """
            width = Constant <value_int: int = @rotary_embedding_dim> ()
            part = Reshape(width, one)
            seen_sizes = Shape(seen)
            end = Slice(seen_sizes, three, four, zero)
            turned = Slice(seen, zero, part, three)
            kept = Slice(seen, part, end, three)
        """
        joined = "all = Concat <axis = 3> (rotated, kept)"
    back = "output = Reshape(all, input_sizes)" if rank == 3 else "output = Identity(all)"
    own = domain == CONTRIB
    names = "input, position_ids, cos_cache, sin_cache" if own else "input, cos_cache, sin_cache, position_ids"
    more = ", is_packed_batching: int = 0" if own else ""
    when = [f"interleaved={interleaved}", "rotary_embedding_dim>0" if part else "rotary_embedding_dim=0"]
    when += ["is_packed_batching=0"] if own else []
    if rank == 3:
        when.append("num_heads=0" if derived else "num_heads>0")
    of_cache = 3 if positions == "none" else 2
    if own:
        inputs, ranks = "1111", [(0, rank), (1, 1 if positions == "first" else 2)]
    else:
        inputs, ranks = ("1110" if positions == "none" else "1111"), [(0, rank), (1, of_cache), (2, of_cache)]
    return written(
        f"""RotaryEmbedding <num_heads: int = 0, rotary_embedding_dim: int = 0, interleaved: int = 0{more}> ({names})
        => (output) {{
            zero = Constant <value = int64[1] {{0}}> ()
            one = Constant <value = int64[1] {{1}}> ()
            two = Constant <value = int64[1] {{2}}> ()
            three = Constant <value = int64[1] {{3}}> ()
            four = Constant <value = int64[1] {{4}}> ()
            rest = Constant <value = int64[1] {{-1}}> ()
            input_sizes = Shape(input)
            {split}
            {cut}
            {spread_caches(rank, positions)}
            {rotation(interleaved, rank)}
            {joined}
            {back}
        }}""",
        domain=domain,
        since=1 if own else 23,
        inputs=inputs,
        ranks=ranks,
        when=when,
    )


def rotaries():
    yield from rotary_of_the_package()
    # Where pairs lie side by side the package's body takes every second position, of which no type speaks.
    for rank, part, positions in itertools.product([3, 4], [0, 1], ["all", "none"]):
        yield rotary("", rank, 1, part, positions, False)
    for rank, interleaved, part, positions in itertools.product([3, 4], [0, 1], [0, 1], ["all", "first"]):
        yield rotary(CONTRIB, rank, interleaved, part, positions, False)
        if rank == 3 and not part:
            yield rotary(CONTRIB, rank, interleaved, part, positions, True)


def functions():
    made = [
        *plain("SwiGLU"),
        *rotaries(),
        *causal_convolution(),
        *skipped(),
        *embedded(),
        *gated(),
        *dropped_out(),
        *grouped(),
    ]
    counts = {}
    for function in made:
        key = (function.domain, function.name)
        counts[key] = counts.get(key, 0) + 1
        function.overload = str(counts[key])
    return made


def encoded():
    model = onnx.ModelProto(ir_version=10, producer_name="bodies.py")
    model.functions.extend(functions())
    return model.SerializeToString(deterministic=True)


def missing():
    """Operators of the package with a body that no row and no function has."""
    sources = "".join(path.read_text() for path in (HERE.parent / "src/ops/families").rglob("*.rs"))
    rows = set(re.findall(r'\b(?:row|contrib|ml)\(\s*"(\w+)"', sources))
    known = {function.name for function in functions()}
    for schema in onnx.defs.get_all_schemas():
        has_body = schema.has_function or schema.has_context_dependent_function
        if has_body and schema.name not in rows | known:
            print(schema.domain or "ai.onnx", schema.name, schema.since_version)


def main():
    parser = argparse.ArgumentParser(description="Writes the bodies of operators.")
    parser.add_argument("--check", action="store_true", help="compare with the file")
    parser.add_argument("--missing", action="store_true", help="list what neither a row nor the file has")
    chosen = parser.parse_args()
    if chosen.missing:
        missing()
    elif chosen.check:
        sys.exit(0 if FILE.read_bytes() == encoded() else f"{FILE.name} is not what the script makes")
    else:
        FILE.write_bytes(encoded())


if __name__ == "__main__":
    main()
