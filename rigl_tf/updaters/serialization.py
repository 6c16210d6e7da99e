"""Configurations of dataclasses, as Keras' `get_config` and `from_config`."""

import dataclasses
import typing

import keras

T = typing.TypeVar("T")


def config_of(item: typing.Any) -> dict[str, typing.Any]:
    """Return the fields of a dataclass as a dictionary of plain values.

    Args:
        item: dataclass; fields may hold numbers, strings, lists, and what Keras
            can serialize, such as schedules.
    """
    return {
        field.name: keras.saving.serialize_keras_object(
            getattr(item, field.name)
        )
        for field in dataclasses.fields(item)
    }


def from_config(cls: type[T], config: dict[str, typing.Any]) -> T:
    """Build a dataclass from what `config_of` returned.

    Raises:
        TypeError: the class has no such field.
    """
    return cls(
        **{
            name: keras.saving.deserialize_keras_object(value)
            for name, value in config.items()
        }
    )
