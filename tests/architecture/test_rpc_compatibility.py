"""The gRPC interface is compatible with its release in proto/released.binpb.

The rules are those of `buf breaking` for messages in the binary format and in JSON. After a
release or an intended breaking change, write the file again: `python proto/generate.py --release`.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
)

PROTO = Path(__file__).parents[2] / "proto"
RELEASED = PROTO / "released.binpb"
RESERVED = "reserved"


def find_breaking_changes(old: FileDescriptorSet, new: FileDescriptorSet) -> list[str]:
    """Return the path of each part of *old* that is missing or different in *new*."""
    after = dict(describe_files(new))
    return [path for path, part in describe_files(old) if after.get(path) not in (part, RESERVED)]


def describe_files(files: FileDescriptorSet) -> Iterator[tuple[str, object]]:
    """Yield the path and the properties of each part that clients depend on."""
    for file in files.file:
        yield from describe_types(file.package, file.message_type, file.enum_type)
        for service in file.service:
            for method in service.method:
                types = (method.input_type, method.output_type)
                streams = (method.client_streaming, method.server_streaming)
                yield f"{file.package}.{service.name}/{method.name}", (types, streams)


def describe_types(
    scope: str, messages: Sequence[DescriptorProto], enums: Sequence[EnumDescriptorProto]
) -> Iterator[tuple[str, object]]:
    for enum in enums:
        for value in enum.value:
            yield f"{scope}.{enum.name} = {value.number}", value.name
    for message in messages:
        path = f"{scope}.{message.name}"
        yield path, "message"
        for field in message.field:
            group = message.oneof_decl[field.oneof_index].name if is_in_oneof(field) else None
            names = (field.name, field.json_name, field.type_name, group)
            yield (
                f"{path} = {field.number}",
                (*names, field.type, field.label, field.proto3_optional),
            )
        for numbers in message.reserved_range:
            for number in range(numbers.start, numbers.end):
                yield f"{path} = {number}", RESERVED
        yield from describe_types(path, message.nested_type, message.enum_type)


def is_in_oneof(field: FieldDescriptorProto) -> bool:
    return field.HasField("oneof_index") and not field.proto3_optional


@pytest.fixture
def released():
    return FileDescriptorSet.FromString(RELEASED.read_bytes())


@pytest.mark.skipif(find_spec("grpc_tools") is None, reason="grpcio-tools reads the files")
def test_interface_is_compatible_with_the_release(released, tmp_path):
    file = tmp_path / "current.binpb"
    subprocess.run([sys.executable, PROTO / "generate.py", "--descriptors", file], check=True)

    assert find_breaking_changes(released, FileDescriptorSet.FromString(file.read_bytes())) == []


@pytest.fixture
def changed(released):
    """A copy of the release to change, with the file and message that a test changes."""
    files = FileDescriptorSet.FromString(released.SerializeToString())
    file = next(file for file in files.file if file.name == "suite/user/v1/user.proto")
    message = next(message for message in file.message_type if message.name == "User")
    return SimpleNamespace(files=files, file=file, message=message)


def test_new_parts_are_compatible(released, changed):
    changed.file.message_type.add(name="New")
    changed.file.message_type[0].field.add(name="new_field", number=900)
    changed.file.service[0].method.add(name="NewMethod")

    assert find_breaking_changes(released, changed.files) == []


@pytest.mark.parametrize(
    ("name", "value"), [("number", 901), ("type", 12), ("name", "renamed"), ("label", 3)]
)
def test_changed_field_is_reported(released, changed, name, value):
    setattr(changed.message.field[0], name, value)

    assert find_breaking_changes(released, changed.files) == ["suite.user.v1.User = 1"]


def test_removed_field_is_reported_unless_its_number_is_reserved(released, changed):
    del changed.message.field[0]
    assert find_breaking_changes(released, changed.files) == ["suite.user.v1.User = 1"]

    changed.message.reserved_range.add(start=1, end=2)
    assert find_breaking_changes(released, changed.files) == []


def test_removed_method_and_changed_stream_are_reported(released, changed):
    changed.file.service[0].method[0].server_streaming = True
    del changed.file.service[0].method[-1]

    assert find_breaking_changes(released, changed.files) == [
        "suite.user.v1.UserService/GetMe",
        "suite.user.v1.UserService/ListActivity",
    ]
